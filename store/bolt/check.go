package bolt

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/zavhoz/zavhoz/store"
)

// maxFile bounds what is mapped and what bbolt's list of free pages may cost, in bytes.
const maxFile = 64 << 30

// checkFile holds the file to its format before bbolt opens it, and gives its newest meta. The caller has the lock.
func checkFile(f *os.File, acceptOlder bool) (m meta, err error) {
	st, err := f.Stat()
	if err != nil {
		return meta{}, fmt.Errorf("bolt: %w", err)
	}
	if st.Size() < 2*minPage {
		return meta{}, damaged("file of %d bytes", st.Size())
	}
	if st.Size() > maxFile {
		return meta{}, fmt.Errorf("%w: file of %d bytes", store.ErrTooLarge, st.Size())
	}
	mem, unmap, err := mapFile(f, int(st.Size()))
	if err != nil {
		return meta{}, fmt.Errorf("bolt: map the file: %w", err)
	}
	defer unmap()
	defer catch(&err, debug.SetPanicOnFault(true))
	return checkBytes(mem, acceptOlder)
}

// checkBytes is checkFile over the file's bytes.
func checkBytes(mem []byte, acceptOlder bool) (meta, error) {
	m, err := newestMeta(mem, acceptOlder)
	if err != nil {
		return meta{}, err
	}
	if m.pages > uint64(len(mem))/m.pageSize || m.pages < 4 {
		return meta{}, damaged("%d pages in a file of %d bytes", m.pages, len(mem))
	}
	if m.freelist != noFreelist {
		return meta{}, damaged("free list on file: not written by this program")
	}
	im := newImage(mem[:m.pages*m.pageSize], m.pageSize)
	root, err := rootTree(&im, m.root)
	if err != nil {
		return meta{}, err
	}
	if m.journal, err = checkFormat(root); err != nil {
		return meta{}, err
	}
	w := walker{im: &im, seen: make([]uint64, (m.pages+63)/64)}
	return m, w.page(root.root, nil, nil, 0, true)
}

// checkFormat reads our own mark: which program, which format, which journal.
func checkFormat(root tree) (b binding, err error) {
	c, ok, err := root.collection(formatBucket)
	if err != nil {
		return b, err
	}
	if !ok {
		return b, damaged("not a zavhoz store, or its making was cut short")
	}
	get := func(key string) (string, error) {
		p, i, ok, err := c.find([]byte(key))
		if err != nil || !ok {
			return "", err
		}
		_, v, err := p.item(i)
		return string(v), err
	}
	magic, err := get(magicKey)
	if err != nil {
		return b, err
	}
	if magic != magicValue {
		return b, damaged("not a zavhoz store")
	}
	text, err := get(formatKey)
	if err != nil {
		return b, err
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 {
		return b, damaged("format number unreadable")
	}
	if n != Format && n != joinedFormat {
		return b, fmt.Errorf("%w: the file has format %d, this program knows formats %d and %d", store.ErrFormat, n, Format, joinedFormat)
	}
	raw, err := get(journalKey)
	if err != nil || raw == "" && n == Format {
		return b, err
	}
	if b, ok = readBinding([]byte(raw)); !ok {
		return b, damaged("what the file says of its journal is unreadable")
	}
	b.bound = n == joinedFormat
	return b, nil
}

// walker visits every page that can be reached, each once.
type walker struct {
	im   *image
	seen []uint64 // a bit a page
}

// mark refuses a page that was reached before: a cycle, or two owners.
func (w *walker) mark(p page) error {
	last := p.id + uint64(len(p.data))/w.im.pageSize
	for id := p.id; id < last; id++ {
		if w.seen[id/64]&(1<<(id%64)) != 0 {
			return damaged("page %d is used twice", id)
		}
		w.seen[id/64] |= 1 << (id % 64)
	}
	return nil
}

// page checks p and what hangs under it; root says that its leaves hold collections.
func (w *walker) page(p page, lo, hi []byte, depth int, root bool) error {
	if depth >= maxDepth {
		return damaged("tree deeper than %d", maxDepth)
	}
	if p.id != 0 {
		if err := w.mark(p); err != nil {
			return err
		}
	}
	if err := p.verify(lo, hi, root); err != nil {
		return err
	}
	switch {
	case !p.leaf:
		return w.children(p, hi, depth, root)
	case root:
		return w.collections(p, depth)
	}
	return nil
}

func (w *walker) children(p page, hi []byte, depth int, root bool) error {
	for i := range p.n {
		clo, chi, err := p.bounds(i, hi)
		if err != nil {
			return err
		}
		child, err := w.im.page(p.child(i))
		if err != nil {
			return err
		}
		if err := w.page(child, clo, chi, depth+1, root); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) collections(p page, depth int) error {
	for i := range p.n {
		k, v, err := p.item(i)
		if err != nil {
			return err
		}
		if name := string(k); name != formatBucket && !store.Collection(name).Valid() {
			return damaged("page %d element %d has no collection's name", p.id, i)
		}
		root, err := bucketRoot(w.im, v)
		if err != nil {
			return err
		}
		if err := w.page(root, nil, nil, depth+1, false); err != nil {
			return err
		}
	}
	return nil
}
