package postgres

import (
	"encoding/binary"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// The rows of a commit go to the server as arrays. The driver's own encoder finds a plan for each element and lets its buffer grow under them: a third of what a commit of many
// calls allocated, while nobody else's can begin. This one writes an array in one piece. What it does not know goes the driver's way.

// Arrays as commits send them.
type (
	texts  = pgtype.FlatArray[string]
	byteas = pgtype.FlatArray[[]byte]
)

// quickArrays makes a connection encode them so.
func quickArrays(c *pgx.Conn) {
	m := c.TypeMap()
	for _, oid := range []uint32{pgtype.TextArrayOID, pgtype.ByteaArrayOID} {
		if t, ok := m.TypeForOID(oid); ok {
			if codec, ok := t.Codec.(*pgtype.ArrayCodec); ok {
				m.RegisterType(&pgtype.Type{Name: t.Name, OID: oid, Codec: arrays{codec}})
			}
		}
	}
}

// arrays is the driver's codec but for encoding.
type arrays struct{ *pgtype.ArrayCodec }

func (c arrays) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if format == pgtype.BinaryFormatCode {
		switch value.(type) {
		case texts:
			return inOnePiece[string]{c.ElementType.OID}
		case byteas:
			return inOnePiece[[]byte]{c.ElementType.OID}
		}
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

// inOnePiece encodes an array of elements of a type (src/backend/utils/adt/arrayfuncs.c, array_recv): the number of dimensions, whether any element is null, the element's type; the
// dimension's length and its first index; each element's length, -1 for null, and the element.
type inOnePiece[T string | []byte] struct{ of uint32 }

func (p inOnePiece[T]) Encode(value any, buf []byte) ([]byte, error) {
	all := value.(pgtype.FlatArray[T])
	if all == nil {
		return nil, nil
	}
	size := 20
	for _, x := range all {
		size += 4 + len(x)
	}
	buf = slices.Grow(buf, size)
	put := func(x uint32) { buf = binary.BigEndian.AppendUint32(buf, x) }
	nulls := len(buf) + 4
	for _, x := range []uint32{1, 0, p.of, uint32(len(all)), 1} {
		put(x)
	}
	for _, x := range all {
		if len(x) == 0 {
			if b, is := any(x).([]byte); is && b == nil {
				put(^uint32(0))
				binary.BigEndian.PutUint32(buf[nulls:], 1)
				continue
			}
		}
		put(uint32(len(x)))
		buf = append(buf, x...)
	}
	return buf, nil
}
