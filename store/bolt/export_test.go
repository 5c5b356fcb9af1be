package bolt

import (
	"context"
	"os"
	"time"

	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// FailNextCommit makes the next commit of s fail before bbolt writes anything.
func FailNextCommit(s *Store, err error) { s.inject.Store(&injected{err: err}) }

// FailNextSync makes the next commit of s fail after its meta page is written, as a failing fdatasync does.
func FailNextSync(s *Store, err error) { s.inject.Store(&injected{err: err, late: true}) }

// BeforeNextSync runs fn in the next commit of s, between the writing of its meta page and the word that the disk has it: err, nil for a good one.
func BeforeNextSync(s *Store, fn func(), err error) {
	s.inject.Store(&injected{err: err, late: true, then: fn})
}

// OnLook runs fn before each look at a meta page. Nobody may use s meanwhile.
func OnLook(s *Store, fn func(slot int)) { s.onLook = fn }

// OnMoment runs fn between a reader's look at the file and its look at what lies over it. Nobody may use s meanwhile.
func OnMoment(s *Store, fn func()) { s.onMoment = fn }

// Probe looks at the meta pages, as every begin of a transaction does.
func Probe(s *Store) error { return s.probe() }

// File gives the handle under s.
func File(s *Store) *os.File { return s.handle }

// Check is the check of Open, run on a store that is open and idle.
func Check(s *Store) error {
	_, err := checkFile(s.handle, false)
	return err
}

// ReadImage checks a file's bytes and, if they pass, reads every record as a View would. It gives the number of records.
func ReadImage(mem []byte) (n int, err error) {
	m, err := checkBytes(mem, false)
	if err != nil {
		return 0, err
	}
	im := newImage(mem[:m.pages*m.pageSize], m.pageSize)
	root, err := rootTree(&im, m.root)
	if err != nil {
		return 0, err
	}
	cols := cursor{t: root}
	ok, err := cols.seek(nil)
	for ; ok && err == nil; ok, err = cols.step(1) {
		k, _, err := cols.top().p.item(cols.top().i)
		if err != nil {
			return n, err
		}
		c, _, err := root.collection(string(k))
		if err != nil {
			return n, err
		}
		count, err := readTree(c)
		if n += count; err != nil {
			return n, err
		}
	}
	return n, err
}

func readTree(t tree) (n int, err error) {
	up, down := cursor{t: t}, cursor{t: t}
	ok, err := up.seek(nil)
	for ; ok && err == nil; ok, err = up.step(1) {
		if _, _, err := up.item(); err != nil {
			return n, err
		}
		n++
	}
	if err != nil {
		return n, err
	}
	back := 0
	for ok, err = down.last(); ok && err == nil; ok, err = down.step(-1) {
		back++
	}
	if err == nil && back != n {
		err = damaged("%d records up, %d down", n, back)
	}
	return n, err
}

// Structure gives the offset of every byte that Open must vouch for: metas, headers and element tables of pages that are in use. refs
// are the bytes that name a page or a collection: bent, they may name an older copy of a page, which only a digest can tell.
func Structure(mem []byte) (offsets []int, refs map[int]bool, err error) {
	m, err := checkBytes(mem, false)
	if err != nil {
		return nil, nil, err
	}
	for slot := range 2 {
		for i := range headSize {
			offsets = append(offsets, slot*int(m.pageSize)+i)
		}
	}
	im := newImage(mem[:m.pages*m.pageSize], m.pageSize)
	w := walker{im: &im, seen: make([]uint64, (m.pages+63)/64)}
	root, err := im.page(m.root)
	if err != nil {
		return nil, nil, err
	}
	if err := w.page(root, nil, nil, 0, true); err != nil {
		return nil, nil, err
	}
	refs = map[int]bool{}
	for id := uint64(2); id < m.pages; id++ {
		if w.seen[id/64]&(1<<(id%64)) == 0 {
			continue
		}
		p, err := im.page(id)
		if err != nil {
			continue // the overflow of the page before
		}
		at := int(id * m.pageSize)
		table := headerSize + p.n*elemSize
		for i := range table {
			switch {
			case !p.leaf && i >= headerSize && i%elemSize >= 8: // the child's number
				refs[at+i] = true
			case p.leaf && i >= table-8, !p.leaf && i >= table-12: // where the last key and value end: a MAC vouches for it
			default:
				offsets = append(offsets, at+i)
			}
		}
		for i := table; id == m.root && i < len(p.data); i++ { // names and headers of collections
			refs[at+i] = true
		}
	}
	return offsets, refs, nil
}

// LocksKnown tells whether bbolt's locks were found.
func LocksKnown(s *Store) bool { return s.locksKnown }

// LastTx gives the number of the newest durable transaction.
func LastTx(s *Store) uint64 { return s.lastTx.Load() }

// Journal says how a store that is opened with it journals.
type Journal struct {
	Slot   int                           // bytes; 0: 64 KiB
	After  int                           // small batches before it begins
	Within time.Duration                 // until what is pending is filed; 0: an hour
	Layer  func(JournalFile) JournalFile // over its file
	Step   func(what string)             // between any two steps that reach the disk
}

// JournalFile is what a layer is over.
type JournalFile = journalFile

func (k Journal) of(o Options) Options {
	kn := knobs{slot: k.Slot, after: k.After, within: k.Within, open: k.Layer, step: k.Step}
	if kn.slot == 0 {
		kn.slot = 64 << 10
	}
	if kn.within == 0 {
		kn.within = time.Hour
	}
	o.knobs = &kn
	return o
}

// Create is Create.
func (k Journal) Create(ctx context.Context, o Options) (*Store, error) { return Create(ctx, k.of(o)) }

// Open is Open.
func (k Journal) Open(ctx context.Context, o Options) (*Store, error) { return Open(ctx, k.of(o)) }

// Journals tells whether s journals what it acknowledges.
func Journals(s *Store) bool {
	s.writes.commit.Take()
	defer s.writes.commit.Give()
	return s.filing.bound
}

// Pending gives how many writes wait to be filed.
func Pending(s *Store) int { return len(merged(s.lay.Load())) }

// File files what is pending, as the store does by itself, and waits for it.
func Checkpoint(s *Store) {
	s.beginFiling(make(chan struct{}))
	s.filing.await()
}

// Settle makes the file whole by itself.
func Settle(s *Store) error {
	s.writes.commit.Take()
	defer s.writes.commit.Give()
	return s.settle()
}

// FailNextFiling is FailNextCommit for what brings pending writes into the file.
func FailNextFiling(s *Store, err error) { s.injectFiling.Store(&injected{err: err}) }

// BeforeNextFilingSync is BeforeNextSync for it.
func BeforeNextFilingSync(s *Store, fn func(), err error) {
	s.injectFiling.Store(&injected{err: err, late: true, then: fn})
}

// ReplayBytes reads a journal as Open does. It gives the number of frames and of the writes that are left of them.
func ReplayBytes(mem []byte, named []byte) (frames, writes int, err error) {
	b, ok := readBinding(named)
	if !ok {
		return 0, 0, damaged("no binding")
	}
	r, err := replay(mem, b)
	if err != nil {
		return 0, 0, err
	}
	var all *pending
	for _, g := range r.gens {
		frames += len(g.frames)
		all = all.with(g.changes.changes())
	}
	return frames, len(all.changes()), nil
}

// GoldenJournal makes a journal with fixed nonces, of two generations, and what its file says of it.
func GoldenJournal() (mem, named []byte) {
	const slot = minSlot
	mem = make([]byte, 2*slot)
	first := jhead{gen: 7, slot: slot, nonce: nonce{1, 2, 3}}
	second := jhead{gen: 8, slot: slot, nonce: nonce{4, 5, 6}, former: first.nonce}
	copy(mem, first.encode())
	copy(mem[slot:], second.encode())
	b := binding{gen: 7, nonce: first.nonce, chain: sum{9}}
	put := func(k, v string) change {
		return change{Collection: "things", Key: k, Entry: entry{Fate: backend.Written, Value: []byte(v)}}
	}
	f, s := encodeFrame(first.nonce, 7, 1, b.chain, []change{put("a", "1"), put("b", "")})
	copy(mem[block:], f)
	f, s = encodeFrame(first.nonce, 7, 2, s, []change{put("c", "3")})
	copy(mem[2*block:], f)
	f, _ = encodeFrame(second.nonce, 8, 1, s, []change{{Collection: "things", Key: "a", Entry: entry{Fate: backend.Deleted}}})
	copy(mem[slot+block:], f)
	return mem, b.encode()
}

// DecodeChanges reads bytes as a frame's payload.
func DecodeChanges(b []byte) { _, _ = decodeChanges(b) }

// DueWhileAwaited plays one moment of the goroutine that ends checkpoints: it has chosen to begin one by the clock, while a writer, with the turn that this needs, begins one as well and
// waits for its end. false: they still wait after some time.
func DueWhileAwaited(s *Store, within time.Duration) bool {
	f := &s.filing
	f.end() // its own goroutine could choose otherwise
	f.work, f.fresh = make(chan struct{}, 1), make(chan struct{}, 1)
	s.writes.commit.Take()
	begun, filed := make(chan struct{}), make(chan struct{})
	go func() { s.beginFiling(nil); close(begun) }()
	f.mu.Lock()
	s.flip()
	f.mu.Unlock()
	go func() { f.await(); close(filed) }()
	select {
	case <-filed:
	case <-time.After(within):
		return false
	}
	s.writes.commit.Give()
	<-begun
	f.start(s)
	return true
}
