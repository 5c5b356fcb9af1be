package main

import (
	"bytes"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/term"
)

// screen is the person's terminal while it belongs to a run: raw, so that every key goes to the terminal inside. leave gives it back as it was: its own settings, and
// the modes that programs inside switched on and, where they were killed, did not switch off (the other screen, the mouse, a hidden cursor). All of its methods may
// be called on nil.
type screen struct {
	in, out *os.File

	mu     sync.Mutex
	before *term.State // nil: not ours at present
	modes  modes
}

func newScreen(in, out *os.File) *screen { return &screen{in: in, out: out} }

func (s *screen) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, err := term.MakeRaw(int(s.in.Fd()))
	if err == nil {
		s.before = before
	}
	return err
}

// Write shows what the run writes.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	s.modes.see(p)
	s.mu.Unlock()
	return s.out.Write(p)
}

// leave gives the terminal back. What is unread is thrown away: a program can have the terminal answer questions, and the answer must not be read by the shell
// as if it had been typed there. clean says that the run ended by itself.
func (s *screen) leave(clean bool) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before == nil {
		return
	}
	if !clean || s.modes.cut() {
		_, _ = s.out.Write([]byte("\x18")) // CAN ends a sequence that was cut short
	}
	_, _ = s.out.WriteString(s.modes.undo())
	flushInput(s.in)
	_ = term.Restore(int(s.in.Fd()), s.before)
	s.before = nil
}

// terminalSize gives rows and columns; 24 by 80 where the terminal does not tell.
func terminalSize(f *os.File) (rows, cols int) {
	cols, rows, err := term.GetSize(int(f.Fd()))
	if err != nil || rows <= 0 || cols <= 0 {
		return 24, 80
	}
	return rows, cols
}

// modes follows the switches (DEC private modes, ESC [ ? n h and l) that go to a terminal.
type modes struct {
	on    map[int]bool // as last switched
	state byte         // 0: text; else the last byte of the beginning: ESC, [, ?
	args  []byte
}

// cursorShown is the one mode that is on by itself; autowrap is another.
const (
	cursorShown = 25
	autowrap    = 7
)

func (m *modes) see(p []byte) {
	for len(p) > 0 {
		if m.state == 0 {
			i := bytes.IndexByte(p, 0x1b)
			if i < 0 {
				return
			}
			m.state, p = 0x1b, p[i+1:]
			continue
		}
		m.next(p[0])
		p = p[1:]
	}
}

// maxArgs bounds a sequence that is followed, in bytes.
const maxArgs = 64

func (m *modes) next(c byte) {
	switch {
	case c == 0x1b:
		m.state, m.args = c, m.args[:0]
	case m.state == 0x1b && c == '[', m.state == '[' && c == '?' && len(m.args) == 0:
		m.state = c
	case m.state == '?' && (c >= '0' && c <= '9' || c == ';') && len(m.args) < maxArgs:
		m.args = append(m.args, c)
	case m.state == '?' && (c == 'h' || c == 'l'):
		for _, arg := range bytes.Split(m.args, []byte(";")) {
			if n, err := strconv.Atoi(string(arg)); err == nil && len(m.on) < 256 {
				if m.on == nil {
					m.on = map[int]bool{}
				}
				m.on[n] = c == 'h'
			}
		}
		m.state, m.args = 0, m.args[:0]
	case m.state == '[' && c < 0x40: // arguments of another sequence
	default:
		m.state, m.args = 0, m.args[:0]
	}
}

// cut tells whether a sequence was begun and not ended.
func (m *modes) cut() bool { return m.state != 0 }

// undo is what brings a terminal back.
func (m *modes) undo() string {
	var b bytes.Buffer
	left := false
	for _, n := range slices.Sorted(maps.Keys(m.on)) {
		usual := n == cursorShown || n == autowrap
		if m.on[n] == usual {
			continue
		}
		left = true
		b.WriteString("\x1b[?" + strconv.Itoa(n))
		if usual {
			b.WriteByte('h')
		} else {
			b.WriteByte('l')
		}
	}
	if left {
		b.WriteString("\x1b[0m")
	}
	m.on = nil
	return b.String()
}

var _ io.Writer = (*screen)(nil)
