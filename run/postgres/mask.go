package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// span is a part of the batch that may hold text, as offsets.
type span struct{ from, to int }

// spansOf appends the parts of a message's body that may hold text; at is where the body begins in the batch. False where the body is not what its
// type says. Lengths and type codes are never among the parts: whatever a mask does, the child reads the same messages.
func spansOf(spans []span, kind byte, body []byte, at int) ([]span, bool) {
	switch kind {
	case 'D':
		return rowSpans(spans, body, at)
	case 'E', 'N':
		return fieldSpans(spans, body, at)
	case 'T':
		return columnSpans(spans, body, at)
	case 'A': // NotificationResponse: process, channel, payload
		if len(body) < 4 {
			return spans, false
		}
		return append(spans, span{at + 4, at + len(body)}), true
	case 'V': // FunctionCallResponse: length, value
		if len(body) < 4 {
			return spans, false
		}
		return append(spans, span{at + 4, at + len(body)}), true
	case '1', '2', '3', 'n', 's', 'I', 'c', 't', 'Z', 'K', 'R', 'G', 'H', 'W':
		return spans, true // numbers
	default: // CopyData, ParameterStatus, CommandComplete, and what a later version may bring
		return append(spans, span{at, at + len(body)}), true
	}
}

// rowSpans are the values of a DataRow.
func rowSpans(spans []span, body []byte, at int) ([]span, bool) {
	if len(body) < 2 {
		return spans, false
	}
	count, pos := int(binary.BigEndian.Uint16(body)), 2
	for range count {
		if len(body)-pos < 4 {
			return spans, false
		}
		n := int(int32(binary.BigEndian.Uint32(body[pos:])))
		pos += 4
		if n < -1 || n > len(body)-pos {
			return spans, false
		}
		if n > 0 {
			spans = append(spans, span{at + pos, at + pos + n})
			pos += n
		}
	}
	return spans, pos == len(body)
}

// fieldSpans are the texts of an error or a notice: a code, a text that ends in a zero, …, a zero.
func fieldSpans(spans []span, body []byte, at int) ([]span, bool) {
	pos := 0
	for pos < len(body) && body[pos] != 0 {
		n := bytes.IndexByte(body[pos+1:], 0)
		if n < 0 {
			return spans, false
		}
		spans = append(spans, span{at + pos + 1, at + pos + 1 + n})
		pos += n + 2
	}
	return spans, pos == len(body)-1
}

// columnSpans are the names in a RowDescription: a name that ends in a zero, 18 bytes of numbers, ….
func columnSpans(spans []span, body []byte, at int) ([]span, bool) {
	if len(body) < 2 {
		return spans, false
	}
	count, pos := int(binary.BigEndian.Uint16(body)), 2
	for range count {
		n := bytes.IndexByte(body[pos:], 0)
		if n < 0 || len(body)-pos-n-1 < 18 {
			return spans, false
		}
		spans = append(spans, span{at + pos, at + pos + n})
		pos += n + 1 + 18
	}
	return spans, pos == len(body)
}

// between is put between two texts that go through one mask: no pattern reaches across, so that what is found in a text does not depend on what came in
// the same batch.
var between = make([]byte, 8)

// masking is the room that masking needs, kept from one batch to the next.
type masking struct {
	in  []byte
	out bytes.Buffer
}

// apply masks the spans of batch in place.
func (m *masking) apply(mask func(io.Writer) io.WriteCloser, batch []byte, spans []span) error {
	if len(spans) == 0 {
		return nil
	}
	for _, s := range spans {
		m.in = append(append(m.in, batch[s.from:s.to]...), between...)
	}
	defer m.wipe()
	w := mask(&m.out)
	_, err := w.Write(m.in)
	if err = errors.Join(err, w.Close()); err != nil {
		return errors.Join(errMask, err)
	}
	if m.out.Len() != len(m.in) {
		return errMaskLength
	}
	out := m.out.Bytes()
	for _, s := range spans {
		out = out[copy(batch[s.from:s.to], out)+len(between):]
	}
	return nil
}

// wipe erases the texts: they may be somebody's secrets.
func (m *masking) wipe() {
	clear(m.in)
	clear(m.out.Bytes())
	m.in = m.in[:0]
	m.out.Reset()
}
