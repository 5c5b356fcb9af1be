package redact

import "io"

// smallLen is the length in bytes under which pieces of output are gathered, so that a text full of markers does not become a write a piece.
const smallLen = 4 << 10

// gathered is the way out of a stream: small pieces are put together, and never kept from one Write of the stream to the next.
type gathered struct {
	dst io.Writer
	out []byte
}

func (g *gathered) pass(b []byte) error {
	if len(b) < smallLen {
		if g.out = append(g.out, b...); len(g.out) < smallLen {
			return nil
		}
		b = nil
	}
	if err := g.flush(); err != nil {
		return err
	}
	return g.write(b)
}

// flush writes what was gathered. Every Write of a stream ends with one.
func (g *gathered) flush() error {
	err := g.write(g.out)
	g.out = g.out[:0]
	return err
}

func (g *gathered) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	n, err := g.dst.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}
