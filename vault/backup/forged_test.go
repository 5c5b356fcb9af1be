package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// forgery makes what only the reader's own rules refuse: every digest in it is right.
type forgery struct {
	b bytes.Buffer
	e *encoder
	m Manifest
	a *Account
}

func forge() *forgery {
	f := &forgery{m: Manifest{Format: Format}}
	f.e = &encoder{w: &f.b, h: sha256.New()}
	f.e.raw(append([]byte(Magic), Format))
	f.e.json(frameHead, Head{Format: Format})
	return f
}

func (f *forgery) collection(c store.Collection, keys ...string) *forgery {
	f.shut()
	f.a = NewAccount(c)
	f.e.frame(frameCollection, []byte(c))
	for _, k := range keys {
		f.a.Add(k, nil)
		f.e.frame(frameRow, binary.BigEndian.AppendUint16(nil, uint16(len(k))), []byte(k))
	}
	return f
}

func (f *forgery) shut() {
	if f.a != nil {
		f.m.Collections = append(f.m.Collections, f.a.Close())
	}
	f.a = nil
}

// read ends the forgery and reads it.
func (f *forgery) read(t *testing.T, change func(*Manifest)) error {
	t.Helper()
	f.shut()
	f.m.SHA256 = hex.EncodeToString(f.e.h.Sum(nil))
	change(&f.m)
	m, err := json.Marshal(f.m)
	if err != nil {
		t.Fatal(err)
	}
	f.e.frame(frameManifest, make([]byte, macSize), m)
	x := &File{plain: bytes.NewReader(f.b.Bytes()), size: int64(f.b.Len()), at: map[store.Collection]int64{}}
	return x.read(context.Background())
}

func TestAttack57_ForgeriesWithRightDigests(t *testing.T) {
	as := func(*Manifest) {}
	if err := forge().collection("keyring", "header").collection("a", "1", "2").collection("b").read(t, as); err != nil {
		t.Fatal(err)
	}
	many := forge().collection("keyring", "header")
	for i := range maxCollections {
		many.collection(store.Collection("c" + hex.EncodeToString([]byte{byte(i >> 8), byte(i)})))
	}
	for name, bad := range map[string]struct {
		f      *forgery
		change func(*Manifest)
	}{
		"a row twice":            {forge().collection("keyring", "header").collection("a", "1", "1"), as},
		"rows out of order":      {forge().collection("keyring", "header").collection("a", "2", "1"), as},
		"no key":                 {forge().collection("keyring", ""), as},
		"a long key":             {forge().collection("keyring", string(make([]byte, store.MaxKey+1))), as},
		"a collection twice":     {forge().collection("keyring", "header").collection("a").collection("a"), as},
		"the keyring twice":      {forge().collection("keyring", "header").collection("keyring"), as},
		"the keyring later":      {forge().collection("a").collection("keyring", "header"), as},
		"no collection":          {forge(), as},
		"out of order":           {forge().collection("keyring", "header").collection("b").collection("a"), as},
		"a name of no store":     {forge().collection("keyring", "header").collection("../x"), as},
		"a name in upper case":   {forge().collection("keyring", "header").collection("A"), as},
		"more than a vault has":  {many, as},
		"another count":          {forge().collection("keyring", "header"), func(m *Manifest) { m.Collections[0].Rows++ }},
		"another digest":         {forge().collection("keyring", "header"), func(m *Manifest) { m.Collections[0].SHA256 = m.SHA256 }},
		"a collection left out":  {forge().collection("keyring", "header").collection("a"), func(m *Manifest) { m.Collections = m.Collections[:1] }},
		"another digest over it": {forge().collection("keyring", "header"), func(m *Manifest) { m.SHA256 = m.Collections[0].SHA256 }},
	} {
		if err := bad.f.read(t, bad.change); fault.CodeOf(err) != fault.VaultCorrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := forge().collection("keyring", "header").read(t, func(m *Manifest) { m.Format++ }); fault.CodeOf(err) != fault.VaultFormat {
		t.Errorf("a newer manifest: %v", err)
	}
}
