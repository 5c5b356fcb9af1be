package bolt

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// journalFile is what a journal is written to; tests put one in between that forgets what was not synced.
type journalFile interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Close() error
}

// syncedFile is a file whose Sync asks for no more than the bytes: the journal's length does not change.
type syncedFile struct{ *os.File }

func (f syncedFile) Sync() error { return datasync(f.File) }

// journal is the file that acknowledged batches go to first (docs/decisions/0018-a-journal-beside-the-file.md). Whoever has the commit turn writes to it; ready, last and
// what is over the file are also under the store's filing lock, for a checkpoint ends beside it.
type journal struct {
	f    journalFile
	file *os.File // under f
	path string
	slot int // bytes

	at     int    // the slot that takes frames
	head   jhead  // its head
	number uint64 // of its last frame
	end    int    // where the next goes
	chain  sum    // of the last frame

	next  jhead // of the other slot
	ready bool  // the other slot may be begun: nothing in it is needed, and its head is on the disk
}

var errOccupied = errors.New("bolt: something else has the journal's name")

// JournalPath is where the journal of a store lies while the store is open, and after a crash: beside the file itself, wherever the name leads.
func JournalPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return path + ".journal"
}

// createJournal makes the file, filled with zeros so that a write within it changes no metadata. One that was left behind is replaced, if all that it holds is known to be
// in the file: kept is what the file says of its last journal. Errors: errOccupied.
func createJournal(path string, slot int, kept binding) (*journal, error) {
	if err := clearJournal(path, kept); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("bolt: the journal: %w", err)
	}
	if err := fill(f, 2*slot); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return &journal{f: syncedFile{f}, file: f, path: path, slot: slot}, nil
}

func fill(f *os.File, size int) error {
	zeros := make([]byte, 64*block)
	for at := 0; at < size; at += len(zeros) {
		if _, err := f.WriteAt(zeros[:min(len(zeros), size-at)], int64(at)); err != nil {
			return err
		}
	}
	return f.Sync()
}

// clearJournal removes what has the journal's name, if nothing that anybody needs is in it: a journal that the file has taken up, or one whose making was cut short.
// What was written last to a file that somebody has put another in the place of stays.
func clearJournal(path string, kept binding) error {
	mem, err := readJournalFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return errors.Join(errOccupied, err)
	}
	heads, known := bothHeads(mem)
	taken := false
	for i, h := range heads {
		taken = taken || known[i] && kept != (binding{}) && h.nonce == kept.nonce
	}
	begun := len(mem) == 0 || known[0] || string(mem[:min(len(mem), len(headMagic))]) == string(make([]byte, min(len(mem), len(headMagic))))
	if !taken && (!begun || holdsFrames(mem)) {
		return errOccupied
	}
	return os.Remove(path)
}

// readJournalFile reads a whole journal. It follows no link, and opens nothing that is not a file.
func readJournalFile(path string) ([]byte, error) {
	f, err := openJournalFile(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 2*maxSlot+1))
}

func openJournalFile(path string, flag int) (*os.File, error) {
	there, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !there.Mode().IsRegular() {
		return nil, damaged("the journal is not a regular file")
	}
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || !os.SameFile(st, there) {
		return nil, errors.Join(damaged("the journal was replaced meanwhile"), err, f.Close())
	}
	return f, nil
}

// begin makes the heads of two new generations, and gives what the file must say of the first before it takes a frame.
func (j *journal) begin(past uint64) (binding, error) {
	j.at, j.number, j.end, j.chain, j.ready = 0, 0, block, sum{}, false
	j.head = jhead{gen: past + 1, slot: uint64(j.slot), nonce: draw()}
	if err := j.writeHead(0, j.head); err != nil {
		return binding{}, err
	}
	if err := j.prepare(); err != nil {
		return binding{}, err
	}
	return j.binding(true), nil
}

func draw() (n nonce) {
	_, _ = rand.Read(n[:]) // does not fail: it ends the process instead
	return n
}

func (j *journal) binding(bound bool) binding {
	return binding{bound: bound, gen: j.head.gen, nonce: j.head.nonce, chain: j.chain}
}

// prepare makes the other slot ready to follow. Nothing in it may be needed any more.
func (j *journal) prepare() error {
	h := jhead{gen: j.head.gen + 1, slot: uint64(j.slot), nonce: draw(), former: j.head.nonce}
	if err := j.writeHead(1-j.at, h); err != nil {
		return err
	}
	if err := j.f.Sync(); err != nil {
		return fmt.Errorf("bolt: the journal: %w", err)
	}
	j.next = h
	return nil
}

func (j *journal) writeHead(at int, h jhead) error {
	b := make([]byte, block)
	copy(b, h.encode())
	if _, err := j.f.WriteAt(b, int64(at*j.slot)); err != nil {
		return fmt.Errorf("bolt: the journal: %w", err)
	}
	return nil
}

// flip goes on in the other slot, which is ready.
func (j *journal) flip() {
	j.at, j.head, j.number, j.end, j.ready = 1-j.at, j.next, 0, block, false
}

// room tells whether a frame of size fits behind the others.
func (j *journal) room(size int) bool { return j.end+size <= j.slot }

// errUnsure says that a frame may be on the disk or not.
var errUnsure = errors.New("bolt: the journal was not made durable")

// write writes a frame and makes it durable. What it gives as an error was not acknowledged, and is taken back; where the disk does not say that it was: errUnsure.
func (j *journal) write(changes []change, inject *injected) error {
	frame, s := encodeFrame(j.head.nonce, j.head.gen, j.number+1, j.chain, changes)
	err := inject.early()
	if err == nil {
		_, err = j.f.WriteAt(frame, j.place())
	}
	if err != nil {
		return j.takeBack(err)
	}
	if err = j.f.Sync(); err == nil {
		err = inject.later()
	}
	if err != nil { // pages that were not taken are forgotten: the next sync may well succeed without them
		return errors.Join(errUnsure, j.takeBack(err))
	}
	j.number, j.chain, j.end = j.number+1, s, j.end+len(frame)
	return nil
}

// place is where the next frame goes, in the file.
func (j *journal) place() int64 { return int64(j.at*j.slot + j.end) }

// takeBack makes sure that what was begun is no frame.
func (j *journal) takeBack(cause error) error {
	_, err := j.f.WriteAt(make([]byte, block), j.place())
	if err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		return errors.Join(errUnsure, cause, err)
	}
	return fmt.Errorf("bolt: the journal: %w", cause)
}

// resume makes a journal that was found go on where it ended.
func (j *journal) resume(r *replayed) {
	last := r.gens[len(r.gens)-1]
	j.at, j.head, j.number, j.end, j.chain = last.at, last.head, uint64(len(last.frames)), last.end, r.chain
	j.slot, j.next, j.ready = int(last.head.slot), r.other, r.ready
}
