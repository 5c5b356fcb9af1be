package keys

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
)

// macer computes HMAC-SHA256 under one key with pooled states: a state keeps the key's two blocks already hashed.
type macer struct{ pool sync.Pool }

type macState struct {
	h   hash.Hash
	buf []byte
}

func newMacer(key []byte) *macer {
	m := &macer{}
	m.pool.New = func() any {
		return &macState{h: hmac.New(sha256.New, key), buf: make([]byte, 0, 256)}
	}
	return m
}

// sum authenticates label and parts so that no two different lists give the same input: all lengths come first, then the bytes.
func (m *macer) sum(label string, parts [][]byte) (mac [MACSize]byte) {
	s := m.pool.Get().(*macState)
	s.h.Reset()
	b := binary.BigEndian.AppendUint32(s.buf[:0], uint32(len(label)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(parts)))
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
	}
	b = append(b, label...)
	_, _ = s.h.Write(b) // a hash never fails
	for _, p := range parts {
		_, _ = s.h.Write(p)
	}
	s.buf = s.h.Sum(b[:0])
	copy(mac[:], s.buf)
	m.pool.Put(s)
	return mac
}
