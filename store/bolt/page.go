package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/zavhoz/zavhoz/store"
)

// The file format of bbolt, version 2. A page is a header and elements, each of 16 bytes, then keys and values, densely, in order.
const (
	headerSize = 16 // id uint64, flags uint16, count uint16, overflow uint32
	elemSize   = 16 // branch: pos, ksize uint32, pgid uint64; leaf: flags, pos, ksize, vsize uint32; pos counts from the element
	bucketSize = 16 // root pgid uint64, sequence uint64; root 0 means that the page follows inline

	branchFlag = 0x01
	leafFlag   = 0x02
	bucketFlag = 0x01 // of a leaf element
)

var order = binary.NativeEndian // bbolt writes the machine's own

// damaged makes the error for a file that breaks its format. Texts hold page numbers and counts, never keys or values.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", store.ErrCorrupt, fmt.Sprintf(format, args...))
}

// image is the file's bytes at one moment, up to that moment's high-water mark.
type image struct {
	mem      []byte
	pageSize uint64
	pages    uint64
}

func newImage(mem []byte, pageSize uint64) image {
	return image{mem: mem, pageSize: pageSize, pages: uint64(len(mem)) / pageSize}
}

// page is one page and its overflow, with n elements that lie inside data. What the elements point to is checked when it is read.
type page struct {
	id   uint64
	leaf bool
	n    int
	data []byte
	unit uint64 // the file's page size; 0 inline
}

// page gives a branch or leaf page by number.
func (im *image) page(id uint64) (page, error) {
	if id < 2 || id >= im.pages {
		return page{}, damaged("page %d of %d", id, im.pages)
	}
	h := im.mem[id*im.pageSize:][:headerSize]
	if got := order.Uint64(h); got != id {
		return page{}, damaged("page %d says it is %d", id, got)
	}
	run := uint64(order.Uint32(h[12:])) + 1
	if run > im.pages-id {
		return page{}, damaged("page %d runs past the end", id)
	}
	p, err := parsePage(id, h, im.mem[id*im.pageSize:(id+run)*im.pageSize])
	p.unit = im.pageSize
	if err == nil && p.n == 0 {
		return page{}, damaged("page %d is empty", id) // bbolt drops an empty page, and keeps an empty collection inline
	}
	return p, err
}

// inlinePage gives the page of a collection small enough to live in the root page. It fills its value exactly.
func inlinePage(v []byte) (page, error) {
	if len(v) < headerSize {
		return page{}, damaged("inline page of %d bytes", len(v))
	}
	if order.Uint64(v) != 0 || order.Uint32(v[12:]) != 0 || order.Uint16(v[8:]) != leafFlag {
		return page{}, damaged("inline page header")
	}
	return parsePage(0, v[:headerSize], v)
}

func parsePage(id uint64, h, data []byte) (page, error) {
	flags, n := order.Uint16(h[8:]), int(order.Uint16(h[10:]))
	if flags != branchFlag && flags != leafFlag {
		return page{}, damaged("page %d has flags %#x", id, flags)
	}
	if headerSize+n*elemSize > len(data) {
		return page{}, damaged("page %d has %d elements", id, n)
	}
	return page{id: id, leaf: flags == leafFlag, n: n, data: data}, nil
}

// span is where an element's key and value lie in the page.
type span struct{ key, value, end uint64 }

func (p page) span(i int) (span, error) {
	at := uint64(headerSize + i*elemSize)
	e := p.data[at:][:elemSize]
	var pos, ksize, vsize uint64
	if p.leaf {
		pos, ksize, vsize = uint64(order.Uint32(e[4:])), uint64(order.Uint32(e[8:])), uint64(order.Uint32(e[12:]))
	} else {
		pos, ksize = uint64(order.Uint32(e)), uint64(order.Uint32(e[4:]))
	}
	s := span{key: at + pos, value: at + pos + ksize, end: at + pos + ksize + vsize}
	if s.end > uint64(len(p.data)) || ksize == 0 || ksize > store.MaxKey || vsize > store.MaxValue {
		return span{}, damaged("page %d element %d", p.id, i)
	}
	return s, nil
}

// key gives the key of element i, inside the page.
func (p page) key(i int) ([]byte, error) {
	s, err := p.span(i)
	if err != nil {
		return nil, err
	}
	return p.data[s.key:s.value], nil
}

// item gives key and value of leaf element i, inside the page.
func (p page) item(i int) (k, v []byte, err error) {
	s, err := p.span(i)
	if err != nil {
		return nil, nil, err
	}
	return p.data[s.key:s.value], p.data[s.value:s.end], nil
}

// isBucket tells whether leaf element i is a collection rather than a record.
func (p page) isBucket(i int) bool {
	return order.Uint32(p.data[headerSize+i*elemSize:])&bucketFlag != 0
}

// child gives the page number that branch element i points to.
func (p page) child(i int) uint64 {
	return order.Uint64(p.data[headerSize+i*elemSize+8:])
}

// verify holds the whole page to the format: spans dense and in order, keys ascending and in [lo, hi) (nil: unbounded), element
// flags as they must be: collections in the root's leaves, records elsewhere.
func (p page) verify(lo, hi []byte, root bool) error {
	want := uint64(headerSize + p.n*elemSize)
	prev := lo
	for i := range p.n {
		s, err := p.span(i)
		if err != nil {
			return err
		}
		if s.key != want {
			return damaged("page %d element %d is out of place", p.id, i)
		}
		want = s.end
		if p.leaf {
			if f := order.Uint32(p.data[headerSize+i*elemSize:]); (f == bucketFlag) != root || f > bucketFlag {
				return damaged("page %d element %d has flags %#x", p.id, i, f)
			}
		}
		k := p.data[s.key:s.value]
		if c := bytes.Compare(prev, k); c > 0 || c == 0 && i > 0 {
			return damaged("page %d element %d is out of order", p.id, i)
		}
		prev = k
	}
	if hi != nil && p.n > 0 && bytes.Compare(prev, hi) >= 0 {
		return damaged("page %d holds keys of its neighbour", p.id)
	}
	size := uint64(len(p.data)) // bbolt takes as many pages as it needs, and inline as many bytes
	if p.id == 0 && want != size || p.id != 0 && want <= size-p.unit {
		return damaged("page %d has %d bytes for %d", p.id, size, want)
	}
	return nil
}

// bounds gives the key range of branch element i, whose page has the range [lo, hi).
func (p page) bounds(i int, hi []byte) (clo, chi []byte, err error) {
	if clo, err = p.key(i); err != nil {
		return nil, nil, err
	}
	if i+1 < p.n {
		hi, err = p.key(i + 1)
	}
	return clo, hi, err
}
