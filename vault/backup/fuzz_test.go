package backup

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
)

// FuzzRead gives the reader what is below the encryption: whoever knows a recipient chooses all of it. It must come to an end without harm, and what it takes must be
// spelled as we would write it.
func FuzzRead(f *testing.F) {
	id, err := age.ParseX25519Identity("AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX")
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := os.ReadFile("../../testdata/formats/backup.golden")
	if err != nil {
		f.Fatal(err)
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), id)
	if err != nil {
		f.Fatal(err)
	}
	var golden bytes.Buffer
	if _, err := golden.ReadFrom(r); err != nil {
		f.Fatal(err)
	}
	f.Add(golden.Bytes())
	f.Add([]byte(Magic + "\x01"))
	f.Add(binary.BigEndian.AppendUint32([]byte(Magic+"\x01h"), 1<<31))
	f.Fuzz(func(t *testing.T, b []byte) {
		x := &File{plain: bytes.NewReader(b), size: int64(len(b)), at: map[store.Collection]int64{}}
		if err := x.read(context.Background()); err != nil {
			return
		}
		var rows uint64
		for _, c := range x.Manifest.Collections {
			a := NewAccount(c.Name)
			err := moment{x}.Scan(c.Name, "", "", func(key string, v []byte) (bool, error) {
				a.Add(key, v)
				rows++
				return true, nil
			})
			if err != nil || a.Close() != c {
				t.Errorf("%s is taken, and reads as another: %v", c.Name, err)
			}
		}
		if rows != x.Manifest.Rows() {
			t.Errorf("%d rows, the manifest says %d", rows, x.Manifest.Rows())
		}
	})
}
