package bolt

const (
	minPage = 1 << 10
	maxPage = 1 << 16

	metaFlag   = 0x04
	metaMagic  = 0xED0CDAED
	metaFormat = 2 // bbolt's own
	noFreelist = ^uint64(0)
	metaSize   = 64              // after the page header; the last 8 are the checksum
	headSize   = headerSize + 64 // the bytes of a meta page that mean something
)

// meta is one of the two heads of the file; the newer one names the tree that counts. Transaction t writes slot t%2.
type meta struct {
	slot     int
	pageSize uint64
	root     uint64
	freelist uint64
	pages    uint64 // the high-water mark
	txid     uint64

	journal binding // from the tree
}

// readMeta reads the meta page in slot, whose bytes are b; ok is false for any damage.
func readMeta(b []byte, slot int) (m meta, ok bool) {
	if len(b) < headSize || order.Uint64(b) != uint64(slot) || order.Uint16(b[8:]) != metaFlag {
		return meta{}, false
	}
	if order.Uint16(b[10:]) != 0 || order.Uint32(b[12:]) != 0 {
		return meta{}, false
	}
	b = b[headerSize:]
	if order.Uint32(b) != metaMagic || order.Uint32(b[4:]) != metaFormat || order.Uint64(b[metaSize-8:]) != fnv64a(b[:metaSize-8]) {
		return meta{}, false
	}
	m = meta{slot: slot, pageSize: uint64(order.Uint32(b[8:])), root: order.Uint64(b[16:]),
		freelist: order.Uint64(b[32:]), pages: order.Uint64(b[40:]), txid: order.Uint64(b[48:])}
	size := m.pageSize
	ok = size >= minPage && size <= maxPage && size&(size-1) == 0 && m.txid%2 == uint64(slot) && m.root >= 2 && m.root < m.pages
	return m, ok
}

// newestMeta gives the meta that counts. Both must be whole and one transaction apart: with one damaged, bbolt would take the other
// and lose what was acknowledged last.
func newestMeta(mem []byte, acceptOlder bool) (meta, error) {
	a, okA := readMeta(mem, 0)
	b, okB := secondMeta(mem, a.pageSize)
	if okA && okB {
		if b.pageSize != a.pageSize || a.txid+1 != b.txid && b.txid+1 != a.txid {
			return meta{}, damaged("the two meta pages do not belong together")
		}
		if b.txid > a.txid {
			return b, nil
		}
		return a, nil
	}
	switch {
	case okA && acceptOlder:
		return a, nil
	case okB && acceptOlder:
		return b, nil
	case okA || okB:
		return meta{}, damaged("one of the two meta pages is damaged: the last transaction may be lost")
	}
	return meta{}, damaged("both meta pages are damaged, or this is no store")
}

// secondMeta reads slot 1. Without a first meta its place is not known, and every page size is tried.
func secondMeta(mem []byte, pageSize uint64) (meta, bool) {
	if pageSize != 0 {
		if pageSize > uint64(len(mem)) {
			return meta{}, false
		}
		return readMeta(mem[pageSize:], 1)
	}
	for size := uint64(minPage); size <= maxPage && size < uint64(len(mem)); size <<= 1 {
		if m, ok := readMeta(mem[size:], 1); ok && m.pageSize == size {
			return m, true
		}
	}
	return meta{}, false
}

// fnv64a is hash/fnv without its allocation: the check runs before every transaction.
func fnv64a(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}
