package backup

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash"
	"io"
)

// step is how much of a payload is read at once: memory grows with what is there, not with what a length claims.
const step = 64 << 10

// decoder reads frames. The payload it gives is good until the next one.
type decoder struct {
	r   *bufio.Reader
	h   hash.Hash // of every byte read; nil: none
	off int64     // of the next byte
	buf []byte
}

func newDecoder(r io.Reader, off int64, h hash.Hash) *decoder {
	return &decoder{r: bufio.NewReaderSize(r, step), off: off, h: h}
}

// limits are the longest payloads of each frame.
var limits = map[byte]int{
	frameHead: maxHead, frameConfig: MaxConfig, frameCollection: maxName, frameRow: maxRow, frameManifest: macSize + maxManifest,
}

// magic reads the first bytes and gives the format.
func (d *decoder) magic() (byte, error) {
	b, err := d.take(len(Magic) + 1)
	if err != nil {
		return 0, err
	}
	if string(b[:len(Magic)]) != Magic {
		return 0, errOrder
	}
	d.count(b)
	return b[len(Magic)], nil
}

// next reads a frame. The manifest's own bytes are not hashed. io.EOF means that there is none, between two frames.
func (d *decoder) next() (kind byte, payload []byte, err error) {
	head, err := d.take(5)
	if err != nil {
		return 0, nil, err
	}
	kind, n := head[0], binary.BigEndian.Uint32(head[1:])
	limit, known := limits[kind]
	if !known {
		return 0, nil, errOrder
	}
	if uint64(n) > uint64(limit) {
		return 0, nil, errSize
	}
	if kind != frameManifest {
		d.count(head)
	}
	payload, err = d.take(int(n))
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if kind != frameManifest {
		d.count(payload)
	}
	return kind, payload, err
}

// take reads n bytes; io.EOF where there is none at all.
func (d *decoder) take(n int) ([]byte, error) {
	d.buf = d.buf[:0]
	for len(d.buf) < n {
		from := len(d.buf)
		d.buf = append(d.buf, make([]byte, min(step, n-from))...)
		got, err := io.ReadFull(d.r, d.buf[from:])
		d.off += int64(got)
		if err != nil {
			if from > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return d.buf[:from+got], err
		}
	}
	return d.buf, nil
}

func (d *decoder) count(b []byte) {
	if d.h != nil {
		_, _ = d.h.Write(b) // a hash never fails
	}
}

// row takes a row's payload apart.
func row(payload []byte) (key string, value []byte, err error) {
	if len(payload) < 2 {
		return "", nil, errSize
	}
	n := int(binary.BigEndian.Uint16(payload))
	if n == 0 || n > len(payload)-2 {
		return "", nil, errSize
	}
	return string(payload[2 : 2+n]), payload[2+n:], nil
}

// strictly reads one JSON value that is spelled as we write it, so that no byte is without meaning.
func strictly(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	again, err := json.Marshal(into)
	if err == nil && !bytes.Equal(again, b) {
		err = errOrder
	}
	return err
}
