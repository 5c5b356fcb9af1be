package bolt_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/store/storetest"
)

// frames gives where the frames of a journal lie, and their ends, in the order of their writing.
func framesOf(t *testing.T, mem []byte) (spans [][2]int) {
	t.Helper()
	half := len(mem) / 2
	for _, from := range []int{0, half} {
		for at := from + 4096; at < from+half; at += 4096 {
			if string(mem[at:at+8]) == "zvhframe" {
				spans = append(spans, [2]int{at, at + 76 + int(mem[at+42])<<8 + int(mem[at+43])})
			}
		}
	}
	return spans
}

// TestEveryJournalFlip flips every byte of a journal that means something, one bit or all of them: an error, or what was acknowledged; or all but the last batch, where its own frame is hit: that
// cannot be told from one that was torn, and never acknowledged.
func TestEveryJournalFlip(t *testing.T) {
	mem, named := bolt.GoldenJournal()
	spans := framesOf(t, mem)
	if len(spans) != 3 {
		t.Fatal(spans)
	}
	last := spans[2]
	means := append([][2]int{{0, 72}, {16384, 16384 + 72}}, spans...)
	for _, span := range means {
		for at := span[0]; at < span[1]; at++ {
			for _, mask := range []byte{1, 0x80, 0xff} {
				bad := slices.Clone(mem)
				bad[at] ^= mask
				frames, writes, err := bolt.ReplayBytes(bad, named)
				torn := at >= last[0] && err == nil && frames == 2 && writes == 3
				if !torn && !errors.Is(err, store.ErrCorrupt) {
					t.Fatalf("byte %d ^ %#x: %d frames, %v", at, mask, frames, err)
				}
			}
		}
	}
	for at := range named {
		bad := slices.Clone(named)
		bad[at] ^= 1
		if _, _, err := bolt.ReplayBytes(mem, bad); !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("byte %d of what the file says of its journal: %v", at, err)
		}
	}
}

// TestEveryJournalCut: a journal that was cut or lengthened is damaged.
func TestEveryJournalCut(t *testing.T) {
	mem, named := bolt.GoldenJournal()
	for n := 0; n <= len(mem)+5000; n += 7 {
		bad := append(slices.Clone(mem), make([]byte, 8192)...)[:n]
		if frames, _, err := bolt.ReplayBytes(bad, named); n != len(mem) && !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("%d of %d bytes: %d frames, %v", n, len(mem), frames, err)
		}
	}
}

// TestJournalFramesElsewhere: frames that were moved, repeated or left out are not replayed.
func TestJournalFramesElsewhere(t *testing.T) {
	mem, named := bolt.GoldenJournal()
	const a, b, c, head = 4096, 8192, 16384 + 4096, 16384
	place := func(to, from int) func(m []byte) { return func(m []byte) { copy(m[to:to+4096], mem[from:from+4096]) } }
	both := func(fns ...func(m []byte)) func(m []byte) {
		return func(m []byte) {
			for _, fn := range fns {
				fn(m)
			}
		}
	}
	wipe := func(at int) func(m []byte) { return func(m []byte) { clear(m[at : at+4096]) } }
	for name, fn := range map[string]func(m []byte){
		"exchanged": both(place(a, b), place(b, a)), "repeated": place(b+4096, b), "the first repeated": place(b, a), "the first left out": wipe(a), "the middle left out": wipe(b),
		"all of the first generation left out": both(wipe(a), wipe(b)), "the second generation's head left out": wipe(head), "the slots exchanged, in part": place(head, 0),
		"a frame of the other generation": place(b, c), "both heads left out": both(wipe(0), wipe(head)),
	} {
		bad := slices.Clone(mem)
		fn(bad)
		if frames, _, err := bolt.ReplayBytes(bad, named); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %d frames, %v", name, frames, err)
		}
	}
	exchanged := append(slices.Clone(mem[head:]), mem[:head]...) // whole slots: which of the two is where says nothing
	if frames, _, err := bolt.ReplayBytes(exchanged, named); err != nil || frames != 3 {
		t.Errorf("%d frames, %v", frames, err)
	}
}

// TestDamagedPair flips bytes of the journal of a crashed pair, and opens it: an error that says so, or what was acknowledged, to the last batch but one.
func TestDamagedPair(t *testing.T) {
	s := journalled(t, bolt.Journal{Slot: 32 << 10}, bolt.Options{})
	var want []digest
	update := func(fn func(tx store.Tx) error) {
		t.Helper()
		if err := s.Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
		d, err := digestOf(s)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, d)
	}
	update(func(tx store.Tx) error { return tx.Put("agents", "a", []byte("1")) })
	update(func(tx store.Tx) error { return tx.Put("agents", "a", []byte("2")) })
	bolt.FailNextFiling(s, store.ErrFull) // so that both slots are needed
	bolt.Checkpoint(s)
	bolt.FailNextFiling(s, store.ErrFull)
	update(func(tx store.Tx) error { return tx.Delete("agents", "a") })
	path := pair(t, s)
	file, err := os.ReadFile(path)
	journal, jerr := os.ReadFile(bolt.JournalPath(path))
	if err != nil || jerr != nil {
		t.Fatal(err, jerr)
	}
	spans := framesOf(t, journal)
	step := 11
	if storetest.Long() {
		step = 1
	}
	errs, oks := 0, 0
	dir := t.TempDir()
	for _, span := range append(spans, [2]int{0, 72}, [2]int{len(journal) / 2, len(journal)/2 + 72}) {
		for at := span[0]; at < span[1]; at += step {
			bad := slices.Clone(journal)
			bad[at] ^= 0x10
			p := filepath.Join(dir, "vault.db")
			if err := errors.Join(os.WriteFile(p, file, 0o600), os.WriteFile(bolt.JournalPath(p), bad, 0o600)); err != nil {
				t.Fatal(err)
			}
			d, err := outcome(t, p, "flip")
			switch {
			case err != nil:
				errs++
			case span == spans[len(spans)-1] && d == want[1]:
				oks++
			default:
				t.Errorf("byte %d of the journal: opened", at)
			}
		}
	}
	if errs == 0 || oks == 0 {
		t.Errorf("%d errors, %d opened", errs, oks)
	}
}

// FuzzJournal: whatever bytes are there, the reader gives an error or frames, and does not fall.
func FuzzJournal(f *testing.F) {
	mem, named := bolt.GoldenJournal()
	f.Add(mem, named)
	f.Add(mem[:16384], named)
	f.Add([]byte("zvhjrnl\x01"), named)
	f.Fuzz(func(t *testing.T, mem, named []byte) {
		frames, writes, err := bolt.ReplayBytes(mem, named)
		if err != nil && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("an unclear error: %v", err)
		}
		if err != nil && frames+writes > 0 {
			t.Error("an error, and frames")
		}
		bolt.DecodeChanges(mem)
	})
}
