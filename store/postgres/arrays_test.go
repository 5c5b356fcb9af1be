package postgres

import (
	"bytes"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
)

// What an array is for the server must not depend on who encodes it: ours is byte for byte the driver's, null elements too.
func FuzzArraysAsTheDriverEncodesThem(f *testing.F) {
	f.Add([]byte("resources"), []byte{}, uint8(3))
	f.Add([]byte{0, 255, 39, 92}, []byte("x"), uint8(0))
	f.Add([]byte{}, []byte("x"), uint8(9))
	f.Fuzz(func(t *testing.T, a, b []byte, n uint8) {
		ts, bs := texts{}, byteas{}
		for i := range n {
			x := append([]byte{}, a...)
			if i%2 == 1 {
				x = append(append([]byte{}, b...), i)
			}
			if i%5 == 4 {
				x = nil
			}
			ts, bs = append(ts, string(x)), append(bs, x)
		}
		m := pgtype.NewMap()
		for oid, v := range map[uint32]any{pgtype.TextArrayOID: ts, pgtype.ByteaArrayOID: bs} {
			at, _ := m.TypeForOID(oid)
			codec := at.Codec.(*pgtype.ArrayCodec)
			before := []byte("what is there")
			want, err := codec.PlanEncode(m, oid, pgtype.BinaryFormatCode, v).Encode(v, bytes.Clone(before))
			if err != nil {
				t.Fatal(err)
			}
			got, err := (arrays{codec}).PlanEncode(m, oid, pgtype.BinaryFormatCode, v).Encode(v, bytes.Clone(before))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%T of %d: %v\n%x\n%x", v, n, err, got, want)
			}
		}
	})
}

// Null is no array, and what is not one of ours goes the driver's way.
func TestArraysOfOthers(t *testing.T) {
	m := pgtype.NewMap()
	at, _ := m.TypeForOID(pgtype.TextArrayOID)
	c := arrays{at.Codec.(*pgtype.ArrayCodec)}
	if b, err := c.PlanEncode(m, pgtype.TextArrayOID, pgtype.BinaryFormatCode, texts(nil)).Encode(texts(nil), []byte("x")); b != nil || err != nil {
		t.Errorf("null: %q %v", b, err)
	}
	for format, want := range map[int16]string{pgtype.TextFormatCode: `{a,"b,c"}`, pgtype.BinaryFormatCode: ""} {
		v := pgtype.Array[string]{Elements: []string{"a", "b,c"}, Dims: []pgtype.ArrayDimension{{Length: 2, LowerBound: 1}}, Valid: true}
		b, err := c.PlanEncode(m, pgtype.TextArrayOID, format, v).Encode(v, nil)
		if err != nil || len(b) == 0 || want != "" && string(b) != want {
			t.Errorf("format %d: %q %v", format, b, err)
		}
	}
}
