package bolt

import "bytes"

// maxDepth bounds a walk from root to leaf. A page has at least two children, so a true tree of this depth would not fit any disk;
// a deeper one has a cycle.
const maxDepth = 40

// tree is one collection in an image.
type tree struct {
	im   *image
	root page
}

// rootTree gives the tree of collections.
func rootTree(im *image, root uint64) (tree, error) {
	p, err := im.page(root)
	return tree{im, p}, err
}

// collection finds a collection by its name in the file; ok is false where there is none.
func (t tree) collection(name string) (c tree, ok bool, err error) {
	p, i, ok, err := t.find([]byte(name))
	if err != nil || !ok {
		return tree{}, false, err
	}
	if !p.isBucket(i) {
		return tree{}, false, damaged("page %d element %d is no collection", p.id, i)
	}
	_, v, err := p.item(i)
	if err != nil {
		return tree{}, false, err
	}
	root, err := bucketRoot(t.im, v)
	return tree{t.im, root}, err == nil, err
}

// bucketRoot gives the root page that a collection's header names.
func bucketRoot(im *image, v []byte) (page, error) {
	if len(v) < bucketSize {
		return page{}, damaged("collection header of %d bytes", len(v))
	}
	root, seq := order.Uint64(v), order.Uint64(v[8:])
	if seq != 0 {
		return page{}, damaged("collection has a sequence") // never used here
	}
	if root == 0 {
		return inlinePage(v[bucketSize:])
	}
	if len(v) != bucketSize {
		return page{}, damaged("collection header of %d bytes", len(v))
	}
	return im.page(root)
}

// search gives the first element of p whose key is >= key, and whether it is equal.
func (p page) search(key []byte) (i int, exact bool, err error) {
	lo, hi := 0, p.n
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		k, err := p.key(mid)
		if err != nil {
			return 0, false, err
		}
		switch bytes.Compare(k, key) {
		case 0:
			return mid, true, nil
		case -1:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false, nil
}

// toward gives the element of branch p under which key lies.
func (p page) toward(key []byte) (int, error) {
	i, exact, err := p.search(key)
	if !exact && i > 0 {
		i--
	}
	return i, err
}

// find gives the leaf and element of key.
func (t tree) find(key []byte) (p page, i int, ok bool, err error) {
	p = t.root
	for range maxDepth {
		if p.leaf {
			i, ok, err = p.search(key)
			return p, i, ok, err
		}
		if i, err = p.toward(key); err != nil {
			return page{}, 0, false, err
		}
		if p, err = t.im.page(p.child(i)); err != nil {
			return page{}, 0, false, err
		}
	}
	return page{}, 0, false, damaged("tree deeper than %d", maxDepth)
}

// frame is one step of a cursor's way down.
type frame struct {
	p page
	i int
}

// cursor walks the records of a tree in order, either way.
type cursor struct {
	t     tree
	stack []frame
}

// push adds a page to the way.
func (c *cursor) push(p page, i int) error {
	if len(c.stack) >= maxDepth {
		return damaged("tree deeper than %d", maxDepth)
	}
	c.stack = append(c.stack, frame{p, i})
	return nil
}

func (c *cursor) top() *frame { return &c.stack[len(c.stack)-1] }

// descend goes down from page p to a leaf, choosing an element on each page.
func (c *cursor) descend(p page, choose func(page) (int, error)) error {
	for {
		i, err := choose(p)
		if err != nil {
			return err
		}
		if err := c.push(p, i); err != nil || p.leaf {
			return err
		}
		if p, err = c.t.im.page(p.child(i)); err != nil {
			return err
		}
	}
}

// seek goes to the first record >= key; ok is false past the end.
func (c *cursor) seek(key []byte) (ok bool, err error) {
	c.stack = c.stack[:0]
	err = c.descend(c.t.root, func(p page) (int, error) {
		if !p.leaf {
			return p.toward(key)
		}
		i, _, err := p.search(key)
		return i - 1, err // step goes on by one
	})
	if err != nil {
		return false, err
	}
	return c.step(1)
}

// seekDown goes to the last record <= key (< key with before); ok is false where there is none.
func (c *cursor) seekDown(key []byte, before bool) (ok bool, err error) {
	c.stack = c.stack[:0]
	err = c.descend(c.t.root, func(p page) (int, error) {
		if !p.leaf {
			return p.toward(key)
		}
		i, exact, err := p.search(key)
		if exact && !before {
			i++
		}
		return i, err // step goes back by one
	})
	if err != nil {
		return false, err
	}
	return c.step(-1)
}

// last goes to the last record.
func (c *cursor) last() (ok bool, err error) {
	c.stack = c.stack[:0]
	err = c.descend(c.t.root, func(p page) (int, error) {
		if p.leaf {
			return p.n, nil
		}
		return p.n - 1, nil
	})
	if err != nil {
		return false, err
	}
	return c.step(-1)
}

// step moves by one record, up (1) or down (-1).
func (c *cursor) step(by int) (ok bool, err error) {
	for len(c.stack) > 0 {
		f := c.top()
		f.i += by
		if f.i < 0 || f.i >= f.p.n {
			c.stack = c.stack[:len(c.stack)-1]
			continue
		}
		if f.p.leaf {
			return true, nil
		}
		child, err := c.t.im.page(f.p.child(f.i))
		if err != nil {
			return false, err
		}
		start := -1
		if by < 0 {
			start = child.n
		}
		if err := c.push(child, start); err != nil {
			return false, err
		}
	}
	return false, nil
}

// item gives the record under the cursor, inside the page.
func (c *cursor) item() (k, v []byte, err error) {
	f := c.top()
	if f.p.isBucket(f.i) {
		return nil, nil, damaged("page %d element %d is no record", f.p.id, f.i)
	}
	return f.p.item(f.i)
}
