package bolt

import "os"

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

// Probe looks at the meta pages, as every begin of a transaction does.
func Probe(s *Store) error { return s.probe() }

// File gives the handle under s.
func File(s *Store) *os.File { return s.file }

// Check is the check of Open, run on a store that is open and idle.
func Check(s *Store) error {
	_, err := checkFile(s.file, false)
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
