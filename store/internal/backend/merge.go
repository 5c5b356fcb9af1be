package backend

import (
	"bytes"

	"github.com/zavhoz/zavhoz/store"
)

// Reach is what a scan goes through: the records of one collection under a prefix, and its direction. From bounds it below, or above where it goes down; "" does not.
type Reach struct {
	Collection store.Collection
	Prefix     string
	From       string
	Up         bool
}

// PrefixEnd gives the least string above all that begin with prefix; ok is false where there is none.
func PrefixEnd(prefix string) (end string, ok bool) {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1}), true
		}
	}
	return "", false
}

// Rows gives the next record of a scan; ok is false at the end. The bytes are the caller's.
type Rows func() (key string, value []byte, ok bool, err error)

// Writes gives the next write that a scan meets, in its order; ok is false at the end.
type Writes func() (key string, e Entry, ok bool)

// Merge lays writes over rows of the same reach.
func Merge(rows Rows, over Writes, up bool) Rows {
	m := &merge{base: rows, over: over, up: up}
	return m.next
}

type merge struct {
	base Rows
	over Writes
	up   bool

	k        string // the row read ahead
	v        []byte
	ok, read bool

	key              string // the write read ahead
	e                Entry
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
		if m.e.Fate == Unchanged {
			continue
		}
		if m.ok && m.k == m.key {
			m.read = false
		}
		if m.e.Fate == Written {
			v, err := m.e.Bytes()
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
func (o *Overlay) walk(in Reach) Writes {
	keys := o.window(in)
	return func() (string, Entry, bool) {
		if len(keys) == 0 {
			return "", Entry{}, false
		}
		key := keys[0]
		keys = keys[1:]
		return key, o.get(in.Collection, key), true
	}
}
