package main

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"
)

// Bounds of the log of a daemon that a door started. The log of `zavhoz serve` in the foreground is its standard error, and whose that is, rotates it.
const (
	maxLog  = 4 << 20 // bytes of one file
	keptLog = 3       // earlier ones: daemon.log.1 is the last
)

// logFile is a log that begins anew where it has grown long. A line is in one file whole; none is lost but with the oldest file. Whoever fills the log,
// an agent that is refused a million times, fills no disk.
type logFile struct {
	path string
	max  int64
	mu   sync.Mutex
	f    *os.File
	size int64
}

// newLogFile takes over f, where that is the file at path; false where it is not, and nobody asked for its rotation.
func newLogFile(path string, f *os.File, most int64) (*logFile, bool) {
	l := &logFile{path: path, f: f, max: most}
	st, err := f.Stat()
	if err != nil || !l.current(st) {
		return nil, false
	}
	l.size = st.Size()
	return l, true
}

// current tells whether the file that st describes is still the one at the log's path.
func (l *logFile) current(st os.FileInfo) bool {
	at, err := os.Lstat(l.path)
	return err == nil && os.SameFile(at, st)
}

// Write writes one record.
func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size > 0 && l.size+int64(len(b)) > l.max {
		l.turn()
	}
	n, err := l.f.Write(b)
	l.size += int64(n)
	return n, err
}

// turn goes on in a new file. Where that cannot be made, the old one is written on, and it is tried again after as much more.
func (l *logFile) turn() {
	l.size = 0
	if st, err := l.f.Stat(); err == nil && l.current(st) {
		rotate(l.path)
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	if st, err := f.Stat(); err == nil {
		l.size = st.Size() // not ours alone: a daemon that found the vault busy wrote to it
	}
	_ = debug.SetCrashOutput(f, debug.CrashOptions{}) // a panic is written by the runtime itself
	if l.f != os.Stderr {
		l.f.Close()
	}
	l.f = f
}

// rotate moves the log and its predecessors on by one; the oldest goes.
func rotate(path string) {
	name := func(n int) string { return fmt.Sprintf("%s.%d", path, n) }
	for n := keptLog - 1; n > 0; n-- {
		_ = os.Rename(name(n), name(n+1)) // one that is not there is as good
	}
	_ = os.Rename(path, name(1))
}

// openLog opens the log for a daemon that is to be started; where it is long, and no daemon is there to do so, it begins anew.
func openLog(path, vault string) (*os.File, error) {
	if st, err := os.Lstat(path); err == nil && st.Size() >= maxLog && !held(vault) {
		rotate(path)
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// ownLog is where a daemon that a door started writes: its standard error, which is the log, and bounded from here on.
func (a *app) ownLog(path string) io.Writer {
	f, ok := a.stderr.(*os.File)
	if !ok {
		return a.stderr
	}
	if l, ok := newLogFile(path, f, maxLog); ok {
		return l
	}
	return f
}
