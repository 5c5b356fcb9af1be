package postgres

import (
	"context"
	"crypto/subtle"
	"encoding/binary"
	"io"
)

// register lets a session in under the number of its upstream, which pg_backend_pid() and NOTIFY show too, and a key of its own: the upstream's stays
// here, where it cannot be shown to anybody who reaches the server by another way.
func (f *Front) register(s *session) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	if err := f.draw(s); err != nil {
		return false
	}
	f.live[s.pid] = s
	return true
}

// draw makes the key, and another number where two servers behind the URL gave the same.
func (f *Front) draw(s *session) error {
	s.pid = s.up.pg.PID()
	for range 16 {
		var b [8]byte
		if _, err := io.ReadFull(f.o.Random, b[:]); err != nil {
			return err
		}
		copy(s.key[:], b[4:])
		if _, taken := f.live[s.pid]; !taken && s.pid != 0 {
			return nil
		}
		s.pid = binary.BigEndian.Uint32(b[:4]) &^ (1 << 31) // positive, as that of a process
	}
	return errNoKey
}

func (f *Front) forget(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.live, s.pid)
}

// cancelQuery passes a CancelRequest on, if its number and key are those of a session of this front. As with a server, nothing is answered.
func (f *Front) cancelQuery(body []byte) {
	if len(body) != 8 {
		return
	}
	f.mu.Lock()
	s := f.live[binary.BigEndian.Uint32(body)]
	f.mu.Unlock()
	if s == nil || subtle.ConstantTimeCompare(body[4:], s.key[:]) != 1 {
		return
	}
	if !f.cancel.Allow() || f.record(Event{Kind: Canceled, Conn: s.n}) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(f.ctx, f.o.StartupTimeout)
	defer cancel()
	_ = s.up.pg.CancelRequest(ctx)
}
