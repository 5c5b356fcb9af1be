package backup_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/backup"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Whoever knows a recipient can encrypt anything for it. Whatever byte below the encryption is changed, cut or added: it is refused, with a clear code.
func TestAttack57_EveryByteOfABackupCounts(t *testing.T) {
	h := newHouse(t, 2)
	plain := inside(t, h.backup(t), h.owner)
	refused := func(what string, bad []byte) {
		t.Helper()
		_, err := opened(wrapped(t, bad, h.owner.Recipient()), h.owner)
		switch fault.CodeOf(err) {
		case fault.VaultCorrupt, fault.VaultFormat, fault.RecordTampered:
		default:
			t.Fatalf("%s: %v", what, err)
		}
		if strings.Contains(err.Error(), "canary") {
			t.Fatalf("%s: the error tells: %v", what, err)
		}
	}
	if _, err := opened(wrapped(t, plain, h.owner.Recipient()), h.owner); err != nil {
		t.Fatal(err)
	}
	for i := range plain {
		if edge := i < 120 || i > len(plain)-120; !edge && i%37 != 0 {
			continue
		}
		bad := bytes.Clone(plain)
		bad[i] ^= []byte{1, 0x20, 0x80}[i%3]
		refused("a changed byte", bad)
	}
	for n := 0; n < len(plain); n += 1 + len(plain)/40 {
		refused("cut", plain[:n])
	}
	refused("a byte more", append(bytes.Clone(plain), 0))
	refused("twice", append(bytes.Clone(plain), plain...))
	sealed := h.backup(t)
	for n := range 20 {
		at := n * len(sealed) / 20
		bad := bytes.Clone(sealed)
		bad[at] ^= 1
		if _, err := opened(bad, h.owner); err == nil {
			t.Errorf("byte %d of the file itself: no error", at)
		}
		if _, err := opened(sealed[:at], h.owner); err == nil {
			t.Errorf("the file cut to %d: no error", at)
		}
	}
}

// frames takes a backup apart.
func frames(plain []byte) (out [][]byte) {
	for rest := plain[len(backup.Magic)+1:]; len(rest) > 0; {
		n := 5 + int(binary.BigEndian.Uint32(rest[1:]))
		out, rest = append(out, rest[:n]), rest[n:]
	}
	return out
}

// A backup put together from two, or from its own parts in another order, is refused even where whoever does it makes all counts and digests agree.
func TestAttack57_PartsInOtherPlaces(t *testing.T) {
	h, other := newHouse(t, 2), newHouse(t, 2)
	fs, theirs := frames(inside(t, h.backup(t), h.owner)), frames(inside(t, other.backup(t), other.owner))
	begin := append([]byte(backup.Magic), backup.Format)
	join := func(parts ...[][]byte) []byte {
		b := bytes.Clone(begin)
		for _, p := range parts {
			b = append(b, bytes.Join(p, nil)...)
		}
		return b
	}
	last := len(fs) - 1
	swapped := append([][]byte{}, fs...)
	swapped[last-1], swapped[last-2] = swapped[last-2], swapped[last-1]
	for name, bad := range map[string][]byte{
		"no head":               join(fs[1:]),
		"no keyring":            join(fs[:2], fs[4:]),
		"a head twice":          join(fs[:1], fs),
		"two rows swapped":      join(swapped),
		"a row twice":           join(fs[:last], fs[last-1:]),
		"a row less":            join(fs[:last-1], fs[last:]),
		"no manifest":           join(fs[:last]),
		"a manifest twice":      join(fs, fs[last:]),
		"another's manifest":    join(fs[:last], theirs[len(theirs)-1:]),
		"another's rows":        join(fs[:4], theirs[4:]),
		"another's head":        join(theirs[:1], fs[1:]),
		"rows after the end":    join(fs, fs[last-1:last]),
		"an unknown frame":      join(fs[:last], [][]byte{{'x', 0, 0, 0, 0}}, fs[last:]),
		"a path as collection":  join(fs[:last], [][]byte{append([]byte{'c', 0, 0, 0, 11}, "../../../xy"...)}, fs[last:]),
		"a huge length":         join(fs[:last], [][]byte{{'r', 0xff, 0xff, 0xff, 0xff}}, fs[last:]),
		"a newer head":          bytes.Replace(join(fs), []byte(`{"format":1,"vault_id"`), []byte(`{"format":2,"vault_id"`), 1),
		"a configuration later": join(fs[:1], fs[2:4], fs[1:2], fs[4:]),
		"a row before any":      join(fs[:2], fs[3:4], fs[2:]),
	} {
		_, err := opened(wrapped(t, bad, h.owner.Recipient()), h.owner)
		if code := fault.CodeOf(err); code != fault.VaultCorrupt && code != fault.VaultFormat {
			t.Errorf("%s: %v", name, err)
		}
	}
	newer := bytes.Clone(join(fs))
	newer[len(backup.Magic)] = backup.Format + 1
	_, err := opened(wrapped(t, newer, h.owner.Recipient()), h.owner)
	wantCode(t, err, fault.VaultFormat)
	// a whole genuine backup of another vault, encrypted for this one's owner, opens for nobody who has not that vault's key
	_, err = opened(wrapped(t, join(theirs), h.owner.Recipient()), h.owner)
	wantCode(t, err, fault.WrongIdentity)
	if _, err := opened([]byte("age-encryption.org/v1\n"), h.owner); fault.CodeOf(err) != fault.VaultCorrupt {
		t.Errorf("half an age file: %v", err)
	}
	if _, err := opened(nil, h.owner); fault.CodeOf(err) != fault.VaultCorrupt {
		t.Errorf("an empty file: %v", err)
	}
}

// endless is a store of many records, made as they are read.
type endless struct {
	store.Store
	rows int
}

func (e endless) View(_ context.Context, fn func(store.Tx) error) error {
	return e.Store.View(ctx, func(tx store.Tx) error { return fn(endlessTx{tx, e.rows}) })
}

type endlessTx struct {
	store.Tx
	rows int
}

func (e endlessTx) Scan(c store.Collection, prefix, from string, fn func(string, []byte) (bool, error)) error {
	if c != "audit" {
		return e.Tx.Scan(c, prefix, from, fn)
	}
	value := make([]byte, 4<<10)
	for i := range e.rows {
		if more, err := fn(string(binary.BigEndian.AppendUint64([]byte("main/"), uint64(i))), value); err != nil || !more {
			return err
		}
	}
	return nil
}

// heap gives what the program holds now, in bytes.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// peak notes the greatest heap while something is written to it or read from it.
type peak struct {
	bytes.Reader
	n   int
	max uint64
}

func (p *peak) look() {
	if p.n++; p.n%300 == 0 {
		p.max = max(p.max, heap())
	}
}

func (p *peak) Write(b []byte) (int, error) { p.look(); return len(b), nil }

func (p *peak) ReadAt(b []byte, off int64) (int, error) { p.look(); return p.Reader.ReadAt(b, off) }

// A vault of 200 MB is written, and one of 80 MB read, without holding more than a little of it.
func TestAttack67_ABackupIsNotHeldInMemory(t *testing.T) {
	const room = 8 << 20
	h := newHouse(t, 1)
	s := h.source()
	s.Store = endless{h.st, 50_000}
	before := heap()
	w := &peak{}
	rep, err := backup.Write(ctx, w, s, h.recipients(t))
	if err != nil || rep.Rows < 50_000 || w.n < 1000 {
		t.Fatalf("%d rows, %d writes: %v", rep.Rows, w.n, err)
	}
	if w.max > before+room {
		t.Errorf("writing %d bytes held %d", rep.Size, w.max-before)
	}
	var b bytes.Buffer
	s.Store = endless{h.st, 20_000}
	_, err = backup.Write(ctx, &b, s, h.recipients(t))
	must(t, err)
	before = heap()
	r := &peak{Reader: *bytes.NewReader(b.Bytes())}
	if _, err := backup.Open(ctx, r, int64(b.Len()), []age.Identity{h.owner}); err != nil {
		t.Fatal(err)
	}
	if r.max > before+room || r.n < 600 {
		t.Errorf("reading %d bytes held %d", b.Len(), r.max-before)
	}
	runtime.KeepAlive(b)
}
