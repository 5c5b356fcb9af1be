package wire

import (
	"encoding/binary"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// writer puts a body together. Texts and lists are preceded by their length.
type writer struct{ b []byte }

func (w *writer) uint(n int) {
	w.grow(binary.MaxVarintLen64)
	w.b = binary.AppendUvarint(w.b, uint64(n))
}

func (w *writer) byte(c byte) {
	w.grow(1)
	w.b = append(w.b, c)
}

func (w *writer) text(s string) {
	w.uint(len(s))
	w.grow(len(s))
	w.b = append(w.b, s...)
}

func (w *writer) bytes(b []byte) {
	w.uint(len(b))
	w.grow(len(b))
	w.b = append(w.b, b...)
}

func (w *writer) bool(v bool) {
	if v {
		w.byte(1)
	} else {
		w.byte(0)
	}
}

// secret writes the bytes of a value into the body; Write's caller wipes that.
func (w *writer) secret(s secret.Secret) {
	w.uint(s.Len())
	w.grow(s.Len())
	w.b = append(w.b, s.Reveal()...)
}

// grow makes room without leaving a copy of the body behind.
func (w *writer) grow(n int) {
	if cap(w.b)-len(w.b) >= n {
		return
	}
	larger := make([]byte, len(w.b), 2*cap(w.b)+n+1024)
	copy(larger, w.b)
	clear(w.b)
	w.b = larger
}

// body gives what put writes.
func body(put func(*writer)) []byte {
	var w writer
	put(&w)
	return w.b
}

// whole gives what get reads of a body, and an error where that is broken or not all of it.
func whole[T any](b []byte, get func(*reader) T) (T, error) {
	r := reader{b: b}
	v := get(&r)
	return v, r.done()
}

// reader takes a body apart. After the first error everything it gives is empty.
type reader struct {
	b     []byte
	err   error
	nodes int
}

func (r *reader) fail() {
	r.b, r.err = nil, ErrBody
}

func (r *reader) uint(most int) int {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || n > uint64(most) {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return int(n)
}

// count is the length of a list: each of its items takes a byte at least, so that a false one costs no memory.
func (r *reader) count(most int) int {
	n := r.uint(most)
	if n > len(r.b) {
		r.fail()
		return 0
	}
	return n
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) bool() bool {
	c := r.byte()
	if c > 1 {
		r.fail()
	}
	return c == 1
}

// part gives the next bytes within the body itself.
func (r *reader) part() []byte {
	n := r.count(MaxFrame)
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) text() string  { return string(r.part()) }
func (r *reader) bytes() []byte { return append([]byte(nil), r.part()...) }

func (r *reader) secret() secret.Secret {
	if p := r.part(); len(p) > 0 {
		return secret.New(append(make([]byte, 0, len(p)), p...))
	}
	return secret.Secret{}
}

// done refuses a body with something after its end.
func (r *reader) done() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail()
	}
	return r.err
}
