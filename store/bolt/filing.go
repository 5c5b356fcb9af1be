package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// Bounds of a journal.
const (
	slotSize     = 4 << 20 // bytes of each half
	journalAfter = 8       // small batches after which a store begins one: a short command needs none
	largeBatch   = 4       // a batch of more than this part of a slot goes to the file itself
	filedWithin  = time.Second
	retryFull    = 20 * time.Second
)

// knobs are a journal's bounds, which tests make small.
type knobs struct {
	slot   int
	after  int
	within time.Duration
	open   func(journalFile) journalFile // tests: a layer over the file
	step   func(what string)             // tests: between any two steps that reach the disk
}

func (k knobs) at(what string) {
	if k.step != nil {
		k.step(what)
	}
}

// filing is the way from the journal into the file. A checkpoint begins in the turn of a commit: the other slot takes the frames from then on. It ends in a goroutine of its own,
// and meanwhile writers go on.
type filing struct {
	knobs
	j     *journal // nil: none yet
	bound bool     // the file names j
	off   bool     // there can be none
	small int      // batches since there was one
	past  binding  // what the file says of its last journal

	mu      sync.Mutex    // for what follows, Store.lay, and j.ready
	running chan struct{} // closes when the checkpoint that runs has ended; nil: none runs
	stuck   bool          // the file is full; what is pending stays

	work  chan struct{} // one slot: a checkpoint was begun
	fresh chan struct{} // one slot: something is pending
	stop  chan struct{}
	ended chan struct{}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// changes are the writes by which the file says it. A file that needs its journal has another format number, so that no older version opens it alone.
func (b binding) changes() []change {
	n := Format
	if b.bound {
		n = joinedFormat
	}
	return []change{
		{Collection: formatBucket, Key: formatKey, Entry: entry{Fate: backend.Written, Value: []byte(strconv.Itoa(n))}},
		{Collection: formatBucket, Key: journalKey, Entry: entry{Fate: backend.Written, Value: b.encode()}},
	}
}

// flip begins a checkpoint: what is pending is on its way into the file, and the other slot takes what comes. The caller has the commit turn and the filing lock, no
// checkpoint runs, and the other slot is ready.
func (s *Store) flip() {
	f := &s.filing
	lay := s.lay.Load()
	f.j.flip()
	s.lay.Store(&layers{base: lay.base, old: lay.cur})
	f.running = make(chan struct{})
	f.past = f.j.binding(true)
	wake(f.work)
}

// await waits for the checkpoint that runs.
func (f *filing) await() {
	f.mu.Lock()
	c := f.running
	f.mu.Unlock()
	if c != nil {
		<-c
	}
}

// file ends the checkpoint that was begun. Order, with a crash between any two: the other slot's head was durable before it took a frame; its frames are acknowledged
// after they are durable, while the file still names the generation before, so that both are replayed; then one transaction of the file takes the old frames and names
// the new generation, so that only that one is; then the old slot is free, and gets the head that may follow.
func (s *Store) file() {
	f := &s.filing
	lay := s.lay.Load()
	changes := lay.old.changes()
	if f.isStuck() { // a removal since may make room; what is filed twice is the same
		changes = merged(lay)
	}
	f.at("filing")
	err := s.commitOwed(append(f.past.changes(), changes...))
	f.at("filed")
	if err == nil {
		f.mu.Lock()
		s.lay.Store(&layers{base: s.lastTx.Load(), cur: s.lay.Load().cur})
		f.mu.Unlock()
		if err = f.j.prepare(); err != nil && !isFull(err) {
			s.refuseWrites(err)
		}
		f.at("prepared")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.j.ready = err == nil
	f.stuck = err != nil && isFull(err)
	close(f.running)
	f.running = nil
}

// settle brings all that is pending into the file, which then is whole by itself. The caller has the commit turn.
func (s *Store) settle() error {
	f := &s.filing
	f.await()
	if !f.bound {
		return nil
	}
	if d := s.broken.Load(); d != nil {
		return d.err
	}
	lay := s.lay.Load()
	b := f.j.binding(false)
	err := s.commitOwed(append(b.changes(), merged(lay)...))
	f.at("settled")
	if err != nil {
		f.mu.Lock()
		f.stuck = isFull(err)
		f.mu.Unlock()
		return err
	}
	f.end()
	f.mu.Lock()
	defer f.mu.Unlock()
	s.lay.Store(&layers{base: s.lastTx.Load()})
	f.bound, f.stuck, f.small, f.past, f.j.ready = false, false, 0, b, false
	return nil
}

// start and end run the goroutine that ends checkpoints, and begins one where something has been pending for some time.
func (f *filing) start(s *Store) {
	f.work, f.fresh = make(chan struct{}, 1), make(chan struct{}, 1)
	f.stop, f.ended = make(chan struct{}), make(chan struct{})
	go s.fileAll(f.stop, f.ended)
}

func (f *filing) end() {
	if f.stop != nil {
		close(f.stop)
		<-f.ended
		f.stop = nil
	}
}

func (s *Store) fileAll(stop, ended chan struct{}) {
	defer close(ended)
	f := &s.filing
	var due <-chan time.Time
	for {
		select {
		case <-stop:
			return
		case <-f.work:
			s.file()
			if f.isStuck() {
				due = time.After(retryFull)
			}
		case <-f.fresh:
			due = time.After(f.within)
		case <-due:
			if due = nil; s.beginFiling(stop) {
				due = time.After(retryFull)
			}
		}
	}
}

// beginFiling begins a checkpoint of what has been pending for long enough. again tells that the disk has no room for it.
//
// Whoever has the turn may wait for a checkpoint that they began themselves: it is ended here as well, or both would wait for ever.
func (s *Store) beginFiling(stop chan struct{}) (again bool) {
	f := &s.filing
	select {
	case s.writes.commit <- struct{}{}:
	case <-f.work:
		s.file()
		return f.isStuck()
	case <-stop:
		return false
	}
	f.mu.Lock()
	retry := f.stuck && s.lay.Load().old != nil
	switch {
	case s.broken.Load() != nil:
	case retry:
		f.running = make(chan struct{})
	case f.j.ready && !s.lay.Load().cur.empty():
		s.flip()
	}
	f.mu.Unlock()
	s.writes.commit.Give()
	if retry {
		s.file()
	}
	return f.isStuck()
}

func (f *filing) isStuck() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stuck
}

// reopen takes up what the journal holds that the file names; a file that names none is whole by itself, whatever lies beside it. For who only reads it stays in memory.
func (s *Store) reopen(b binding) error {
	f := &s.filing
	f.past = b
	if !b.bound {
		return nil
	}
	path := JournalPath(s.opts.Path)
	mem, err := readJournalFile(path)
	var r *replayed
	if err == nil {
		r, err = replay(mem, b)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = damaged("the journal beside it is missing, and what was written last is in that")
	case err != nil:
		err = fmt.Errorf("bolt: the journal: %w", err)
	}
	if err != nil && s.opts.AcceptOlderMeta {
		return s.forsake(b)
	}
	if err != nil {
		return err
	}
	lay := &layers{base: s.lastTx.Load(), cur: r.gens[len(r.gens)-1].changes}
	if len(r.gens) == 2 {
		lay.old = r.gens[0].changes
	}
	s.lay.Store(lay)
	if s.opts.ReadOnly {
		return nil
	}
	return s.refile(path, r)
}

// forsake makes the file whole without its journal, where a person asked for it.
func (s *Store) forsake(b binding) error {
	if b.bound = false; s.opts.ReadOnly {
		return nil
	}
	return s.commitOwed(b.changes())
}

// refile brings what was replayed into the file. Where the disk is full it stays in the journal, which goes on.
func (s *Store) refile(path string, r *replayed) error {
	f := &s.filing
	file, err := openJournalFile(path, os.O_RDWR)
	if err != nil {
		return fmt.Errorf("bolt: the journal: %w", err)
	}
	f.j, f.bound = &journal{f: syncedFile{file}, file: file, path: path}, true
	if f.open != nil {
		f.j.f = f.open(f.j.f)
	}
	f.j.resume(r)
	f.past = f.j.binding(true)
	if err := s.settle(); err != nil && !isFull(err) {
		return errors.Join(err, f.j.f.Close())
	}
	if f.bound {
		f.start(s)
		return nil
	}
	return s.drop()
}

// leave ends the journal: on a clean end all is in the file, and nothing lies beside it. What the file could not take stays in the journal, for the next to open it.
func (s *Store) leave() error {
	f := &s.filing
	if s.dead.Load() == nil && s.settle() == nil {
		return s.drop()
	}
	if f.await(); f.bound {
		f.end()
	}
	if f.j != nil {
		return f.j.f.Close()
	}
	return nil
}

// drop removes the journal of a file that needs none, if what has its name is that journal still, and the file has its own.
func (s *Store) drop() error {
	j := s.filing.j
	if j == nil {
		return nil
	}
	s.filing.j = nil
	ours := inPlace(j.file, j.path) && inPlace(s.handle, s.opts.Path)
	if err := j.f.Close(); err != nil || !ours {
		return err
	}
	if err := os.Remove(j.path); err != nil {
		return fmt.Errorf("bolt: the journal: %w", err)
	}
	return syncDir(filepath.Dir(j.path))
}
