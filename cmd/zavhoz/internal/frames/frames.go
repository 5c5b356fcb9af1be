// Package frames is the wire between a person's command line and the daemon while a confined run is attended: what is typed goes one way, what the command writes
// comes back, on one connection to the operator's socket that was upgraded from HTTP (Upgrade: zavhoz-run/1).
//
// Promise: a frame is a type, a length and that many bytes; every length is bounded before anything is allocated for it, a type that is not known, or not of this
// direction, ends the connection, and control frames are small, strict JSON. Neither side can make the other hold more than a window: what the command does not read
// is not sent (Window), what the terminal does not take is not read from the command (the connection itself holds it back).
//
// Attacks stopped: giant, half-open and malformed input (threat-model.md 67). Who may speak at all is the operator's socket's business (70).
//
// Limits: no integrity of its own: it never leaves the machine.
package frames

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"sync"
)

// Protocol is what the HTTP connection is upgraded to.
const Protocol = "zavhoz-run/1"

// Type is what a frame is. The bytes are frozen with the protocol's number.
type Type byte

// Frames to the daemon.
const (
	Stdin  Type = 'i' // bytes for the command
	EOF    Type = 'e' // there are no more
	Resize Type = 'r' // Size
	Signal Type = 's' // a name of Signals
	Detach Type = 'd' // end the run: the person goes
	Answer Type = 'a' // Reply to Changes
)

// Frames from the daemon.
const (
	Window  Type = 'w' // 4 bytes, big endian: that many bytes of Stdin have been taken
	Started Type = 'S' // Start
	Stdout  Type = 'o' // redacted bytes; all that a terminal shows
	Stderr  Type = 'E' // redacted bytes
	Changes Type = 'c' // Changed: what an overlay would keep
	Ended   Type = 'X' // End, the last
)

// Bounds, in bytes.
const (
	MaxData    = 64 << 10  // of one frame of Stdin, Stdout or Stderr
	MaxControl = 128 << 10 // of any other
	MaxAhead   = 256 << 10 // Stdin that may be sent before the daemon says that it was taken
)

// Signals are the names that a Signal frame may hold.
var Signals = []string{"INT", "TERM", "HUP", "QUIT"}

// Size is a terminal's, in characters.
type Size struct {
	Rows int `json:"rows"`
	Cols int `json:"cols"`
}

// Start says that the run is on record and its command about to start.
type Start struct {
	RunID     string            `json:"run_id"`
	Isolation string            `json:"isolation"`
	Delivered map[string]string `json:"delivered"` // handle → how
	Notes     []string          `json:"notes,omitempty"`
}

// Change is a path that an overlay would keep.
type Change struct {
	Path string `json:"path"`
	Kind string `json:"kind"` // added, modified, removed

	Marks []string `json:"marks,omitempty"` // what a person should see of it: a link's target, rights
}

// Changed lists changes; Total counts those that did not fit too.
type Changed struct {
	Changes []Change `json:"changes"`
	Total   int      `json:"total"`
}

// Reply says what becomes of the changes.
type Reply struct {
	Keep  bool `json:"keep"`
	Later bool `json:"later,omitempty"` // neither: they stay held
}

// End says how the run ended. Code is empty where the command itself ended it.
type End struct {
	Exit       int       `json:"exit"`
	Redactions int       `json:"redactions"`
	Refused    []Refusal `json:"refused,omitempty"`
	Code       string    `json:"code,omitempty"` // a fault's
	Message    string    `json:"message,omitempty"`
	Next       string    `json:"next,omitempty"`
}

// Refusal is what the run's proxy refused.
type Refusal struct {
	Where string `json:"where"`
	Code  string `json:"code"`
	Count int    `json:"count"`
}

// The sentinels of this package.
var (
	ErrType    = errors.New("frames: a type that is not of this direction")
	ErrLength  = errors.New("frames: a frame is longer than its type may be")
	ErrControl = errors.New("frames: a control frame is malformed")
	ErrWindow  = errors.New("frames: more was sent than the window allows")
)

const header = 5 // type and length

// Direction is the types that one side may send.
type Direction string

// The directions.
const (
	ToDaemon   Direction = "iersda"
	FromDaemon Direction = "wSoEcX"
)

func limit(t Type) int {
	switch t {
	case Stdin, Stdout, Stderr:
		return MaxData
	case EOF, Detach:
		return 0
	case Window:
		return 4
	}
	return MaxControl
}

// Reader reads frames of one direction. It is for one goroutine.
type Reader struct {
	r    io.Reader
	from Direction
	head [header]byte
	buf  []byte
}

// NewReader reads from r, which it does not buffer: a frame takes two reads.
func NewReader(r io.Reader, from Direction) *Reader { return &Reader{r: r, from: from} }

// Next gives the next frame; its payload is good until the next call. io.EOF means that the other side ended between frames, any other error that it broke off or
// does not speak this protocol.
func (r *Reader) Next() (Type, []byte, error) {
	if _, err := io.ReadFull(r.r, r.head[:]); err != nil {
		return 0, nil, err
	}
	t, n := Type(r.head[0]), binary.BigEndian.Uint32(r.head[1:])
	if bytes.IndexByte([]byte(r.from), byte(t)) < 0 {
		return 0, nil, ErrType
	}
	if int64(n) > int64(limit(t)) || t == Window && n != 4 {
		return 0, nil, ErrLength
	}
	if cap(r.buf) < int(n) {
		r.buf = make([]byte, max(int(n), 4<<10))
	}
	b := r.buf[:n]
	if _, err := io.ReadFull(r.r, b); err != nil {
		return 0, nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return t, b, nil
}

// Decode reads a control frame's payload strictly.
func Decode(payload []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	if d.Decode(into) != nil || d.More() {
		return ErrControl
	}
	return nil
}

// Count reads a Window frame's payload.
func Count(payload []byte) int { return int(binary.BigEndian.Uint32(payload)) }

// Writer writes frames. It is safe for concurrent use: a frame is never cut by another.
type Writer struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
	err error
}

// NewWriter writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Frame writes one frame. After an error no more goes out: the other side would read the rest of a torn frame as a header.
func (w *Writer) Frame(t Type, payload []byte) error {
	if len(payload) > limit(t) {
		return ErrLength
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	w.buf = append(w.buf[:0], byte(t))
	w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(len(payload)))
	w.buf = append(w.buf, payload...)
	_, w.err = w.w.Write(w.buf)
	clear(w.buf)
	return w.err
}

// Control writes v as a control frame.
func (w *Writer) Control(t Type, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.Frame(t, b)
}

// Taken writes a Window frame.
func (w *Writer) Taken(n int) error {
	return w.Frame(Window, binary.BigEndian.AppendUint32(nil, uint32(n)))
}

// Stream gives an io.Writer whose bytes go out as frames of that type.
func (w *Writer) Stream(t Type) io.Writer { return stream{w, t} }

type stream struct {
	w *Writer
	t Type
}

// Write cuts p into frames.
func (s stream) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		k := min(len(p), MaxData)
		if err := s.w.Frame(s.t, p[:k]); err != nil {
			return n, err
		}
		n, p = n+k, p[k:]
	}
	return n, nil
}
