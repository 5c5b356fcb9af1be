package bolt

import (
	"bytes"
	"strings"
)

// nextRow gives the next record of a scan; ok is false at the end. The bytes are the caller's.
type nextRow func() (key string, v []byte, ok bool, err error)

// merge lays writes over rows, in the scan's order.
type merge struct {
	base nextRow
	over func() (key string, e entry, ok bool) // the writes that the scan meets, in its order
	up   bool

	k        string // the row read ahead
	v        []byte
	ok, read bool

	key              string // the write read ahead
	e                entry
	more, readWrites bool
}

func (m *merge) next() (string, []byte, bool, error) {
	for {
		if err := m.ahead(); err != nil {
			return "", nil, false, err
		}
		if !m.more || m.ok && m.before(m.k, m.key) {
			m.read = false
			return m.k, m.v, m.ok, nil
		}
		m.readWrites = false
		if m.e.fate == unchanged {
			continue
		}
		if m.ok && m.k == m.key {
			m.read = false
		}
		if m.e.fate == written {
			v, err := m.e.bytes()
			return m.key, bytes.Clone(v), err == nil, err
		}
	}
}

// ahead reads what comes next on both sides.
func (m *merge) ahead() (err error) {
	if !m.read {
		if m.k, m.v, m.ok, err = m.base(); err != nil {
			return err
		}
		m.read = true
	}
	if !m.readWrites {
		m.key, m.e, m.more = m.over()
		m.readWrites = true
	}
	return nil
}

func (m *merge) before(a, b string) bool {
	if m.up {
		return a < b
	}
	return a > b
}

// walk gives the overlay's writes that a scan meets, as they are when it comes to them.
func (o *overlay) walk(in reach) func() (string, entry, bool) {
	keys := o.window(in.c, in.prefix, in.from, in.up)
	return func() (string, entry, bool) {
		if len(keys) == 0 {
			return "", entry{}, false
		}
		key := keys[0]
		keys = keys[1:]
		return key, o.get(in.c, key), true
	}
}

// walk gives the writes that a scan meets.
func (t *node) walk(in reach) func() (string, entry, bool) {
	w := walkUp(t, max(in.prefix, in.from))
	if !in.up {
		end, bounded := prefixEnd(in.prefix)
		w = walkDown(t, func(key string) bool { return (in.from == "" || key <= in.from) && (!bounded || key < end) })
	}
	return func() (string, entry, bool) {
		n := w.next()
		if n == nil || !strings.HasPrefix(n.key, in.prefix) {
			return "", entry{}, false
		}
		return n.key, n.e, true
	}
}
