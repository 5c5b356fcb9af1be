package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/zavhoz/zavhoz/store"
)

// WriteTo writes one consistent moment of the whole file to w, as a file that Open takes. Updates go on meanwhile. The values in it
// are as sealed as they are here.
func (s *Store) WriteTo(ctx context.Context, w io.Writer) (n int64, err error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.running.Done()
	snap, err := s.whole(ctx)
	if err != nil {
		return 0, err
	}
	defer s.release(snap)
	tx := snap.btx
	defer s.catch(&err, debug.SetPanicOnFault(true))
	h := &heads{ctx: ctx, w: w, pageSize: s.pageSize, newestSlot: tx.ID() % 2}
	n, err = tx.WriteTo(h)
	if h.err != nil {
		err = h.err // bbolt keeps only the text
	}
	if h.err == nil && errors.Is(err, io.EOF) {
		return n, damaged("the file ends before its last page")
	}
	if err != nil {
		return n, fmt.Errorf("bolt: backup: %w", err)
	}
	return n, nil
}

// whole gives a moment of the file that needs no journal.
func (s *Store) whole(ctx context.Context) (*snapshot, error) {
	if s.opts.ReadOnly && !s.lay.Load().empty() {
		return nil, fmt.Errorf("%w: what is in the journal has to be brought into the file first", store.ErrReadOnly)
	}
	if err := s.writes.commit.Wait(ctx); err != nil {
		return nil, err
	}
	defer s.writes.commit.Give()
	if err := s.settle(); err != nil {
		return nil, err
	}
	snap, _, err := s.durable(ctx)
	return snap, err
}

// heads puts bbolt's two meta pages into the slots that their transactions belong to. bbolt writes the newest first; the next commit
// to such a file would overwrite the newest meta and keep an older one, and a crash in the middle would lose it.
type heads struct {
	ctx        context.Context
	w          io.Writer
	pageSize   int
	newestSlot int
	buf        []byte
	past       bool
	err        error // what ended the copy on w's side
}

// Write holds back the first two pages until both are there.
func (h *heads) Write(b []byte) (int, error) {
	if h.err = h.ctx.Err(); h.err != nil {
		return 0, h.err
	}
	if h.past {
		return h.pass(b)
	}
	h.buf = append(h.buf, b...)
	if len(h.buf) < 2*h.pageSize {
		return len(b), nil
	}
	if h.newestSlot == 1 {
		h.swap()
	}
	h.past = true
	if _, err := h.pass(h.buf); err != nil {
		return 0, err
	}
	h.buf = nil
	return len(b), nil
}

func (h *heads) pass(b []byte) (n int, err error) {
	n, err = h.w.Write(b)
	h.err = err
	return n, err
}

// swap exchanges the metas; the page numbers in the headers stay.
func (h *heads) swap() {
	a, b := h.buf[headerSize:headSize], h.buf[h.pageSize+headerSize:h.pageSize+headSize]
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}

var _ interface {
	store.Store
	WriteTo(context.Context, io.Writer) (int64, error)
} = (*Store)(nil)
