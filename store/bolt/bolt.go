package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// Options say which file, and how.
type Options struct {
	Path        string
	ReadOnly    bool          // Update gives store.ErrReadOnly; other readers may have the file open too
	LockTimeout time.Duration // how long to wait for another process; 0 means 5 s, negative means not at all
	MaxSize     int64         // bytes the file may grow to, an eighth of them only for removals; 0 means no limit but the disk

	// AcceptOlderMeta opens a file of whose two meta pages one is damaged, at the risk of losing the last transaction: for a
	// repair that a person asked for, never by itself.
	// It opens one whose journal is lost or damaged as well, without what was in that.
	AcceptOlderMeta bool

	// Alone makes no journal beside the file: for one that is filled and then gets another name.
	Alone bool

	knobs *knobs // tests: of the journal
}

const (
	filePageSize = 4 << 10
	growBy       = 1 << 20   // bytes that the file grows by
	mapAhead     = 256 << 20 // bytes mapped from the start, so that growing waits for no reader until then
	lockTimeout  = 5 * time.Second
)

// Store is one open file. It satisfies store.Store.
type Store struct {
	opts   Options
	handle *os.File // bbolt's own: it holds the lock
	db     *bbolt.DB
	log    *tripwire

	locks      beginLocks
	locksKnown bool

	pageSize int
	head     []byte // our mapping of the meta pages
	unmap    func()

	lastTx atomic.Uint64 // the newest transaction known to be durable
	size   atomic.Int64  // bytes that the file has at least
	broken atomic.Pointer[sticky]
	dead   atomic.Pointer[sticky]

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup // Views, Updates, backups

	snaps    snapshots
	lay      atomic.Pointer[layers] // over the file; nil: nothing
	writes   *writer
	watchers backend.Watchers

	filing filing
	vetted struct { // by a transaction of the file: the pages that passed; the commit turn's
		of     uint64
		passed map[uint64]bool
	}

	inject, injectFiling atomic.Pointer[injected] // tests
	onLook               func(slot int)           // tests: runs before probe reads a meta page
	onMoment             func()                   // tests: runs between a look at the file and one at what lies over it
}

var _ store.Store = (*Store)(nil)

// Create makes a new file (0600, never over an existing one) and opens it. What was begun and failed is removed.
func Create(ctx context.Context, opts Options) (*Store, error) {
	if opts.ReadOnly {
		return nil, store.ErrReadOnly
	}
	f, err := os.OpenFile(opts.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("bolt: create: %w", err)
	}
	s, err := createIn(ctx, f, opts)
	if err != nil {
		_ = os.Remove(opts.Path)
	}
	return s, err
}

func createIn(ctx context.Context, f *os.File, opts Options) (*Store, error) {
	if err := lock(ctx, f, opts); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return start(f, opts, func(s *Store) error {
		if err := s.format(); err != nil {
			return err
		}
		return syncDir(filepath.Dir(opts.Path))
	}, binding{})
}

// Open opens an existing file, after holding every page of it to its format. Errors: store.ErrBusy (another process has it),
// store.ErrCorrupt, store.ErrFormat, fs.ErrNotExist.
func Open(ctx context.Context, opts Options) (*Store, error) {
	st, err := os.Stat(opts.Path)
	if err != nil {
		return nil, fmt.Errorf("bolt: open: %w", err)
	}
	if !st.Mode().IsRegular() { // a pipe would block, a device is nobody's vault
		return nil, damaged("not a regular file")
	}
	flag := os.O_RDWR
	if opts.ReadOnly {
		flag = os.O_RDONLY
	}
	f, err := os.OpenFile(opts.Path, flag, 0)
	if err != nil {
		return nil, fmt.Errorf("bolt: open: %w", err)
	}
	m, err := lockAndCheck(ctx, f, opts)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return start(f, opts, func(s *Store) error {
		s.pageSize = int(m.pageSize)
		s.lastTx.Store(m.txid)
		if opts.AcceptOlderMeta && !opts.ReadOnly {
			return s.commitEmpty() // writes the damaged slot anew
		}
		return nil
	}, m.journal)
}

// lockAndCheck checks under the lock: without it another process could be writing.
func lockAndCheck(ctx context.Context, f *os.File, opts Options) (meta, error) {
	if err := lock(ctx, f, opts); err != nil {
		return meta{}, err
	}
	if !inPlace(f, opts.Path) { // whoever held it wrote another file and put it here: what is written into this one, nobody would find
		return meta{}, store.ErrBusy
	}
	return checkFile(f, opts.AcceptOlderMeta)
}

// inPlace tells whether path still names the open file.
func inPlace(f *os.File, path string) bool {
	ours, err := f.Stat()
	there, terr := os.Stat(path)
	return err == nil && terr == nil && os.SameFile(ours, there)
}

// start hands the locked f to bbolt, runs ready, starts the writer, and takes up the journal that b names. f is closed on error.
func start(f *os.File, opts Options, ready func(*Store) error, b binding) (s *Store, err error) {
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	s = &Store{opts: opts, handle: f, log: &tripwire{}, pageSize: filePageSize}
	s.log.sound = s.sound
	s.writes = newWriter()
	s.filing.knobs = knobs{slot: slotSize, after: journalAfter, within: filedWithin}
	s.filing.off = opts.Alone
	if opts.knobs != nil {
		s.filing.knobs = *opts.knobs
	}
	if s.db, err = s.openDB(); err != nil {
		return nil, err
	}
	s.locks, s.locksKnown = locksOf(s.db)
	err = s.attach(ready)
	if err == nil {
		err = s.reopen(b)
	}
	if err != nil {
		_ = s.closeDB()
		if s.unmap != nil {
			s.unmap()
		}
		return nil, err
	}
	return s, nil
}

// attach maps the head, runs ready, and learns the file's size.
func (s *Store) attach(ready func(*Store) error) error {
	if err := ready(s); err != nil {
		return err
	}
	var err error
	if s.head, s.unmap, err = mapFile(s.handle, 2*s.pageSize); err != nil {
		return fmt.Errorf("bolt: map the head: %w", err)
	}
	return s.learn()
}

// learn notes the newest transaction and how long the file must be from now on.
func (s *Store) learn() error {
	tx, err := s.begin(false)
	if err != nil {
		return err
	}
	defer s.end(tx)
	s.lastTx.Store(uint64(tx.ID()))
	s.size.Store(tx.Size())
	return nil
}

func (s *Store) openDB() (db *bbolt.DB, err error) {
	defer catch(&err, debug.SetPanicOnFault(true))
	db, err = bbolt.Open(s.opts.Path, 0o600, &bbolt.Options{
		Timeout:         time.Second, // the lock is ours already
		ReadOnly:        s.opts.ReadOnly,
		PageSize:        filePageSize,
		NoFreelistSync:  true, // a list on the file could be damaged, and would be believed
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: initialMap(),
		MaxSize:         int(s.opts.MaxSize),
		NoStatistics:    true,
		Logger:          s.log,
		OpenFile:        func(string, int, os.FileMode) (*os.File, error) { return s.handle, nil },
	})
	if err != nil {
		return nil, fmt.Errorf("bolt: open: %w", err)
	}
	db.AllocSize = growBy
	return db, nil
}

// initialMap: Windows makes the file as long as its mapping.
func initialMap() int {
	if runtime.GOOS == "windows" {
		return 0
	}
	return mapAhead
}

// enter counts a call in; Close waits for it.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	s.running.Add(1)
	return nil
}

// Watch tells of committed changes until ctx ends or the store closes; then the channel closes. The writer never waits for it.
func (s *Store) Watch(ctx context.Context) <-chan store.Change { return s.watchers.Watch(ctx) }

// Close waits for running transactions, ends the watchers and lets the file go.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.ErrClosed
	}
	s.closed = true
	s.mu.Unlock()

	s.watchers.Close()
	s.running.Wait()
	s.writes.commit.Take()
	left := s.leave()
	s.writes.commit.Give()
	s.retire()
	defer s.unmap()
	if s.dead.Load() != nil {
		return errors.Join(left, s.handle.Close()) // bbolt may be locked for good; its mapping stays until the process ends
	}
	if err := s.closeDB(); err != nil && !errors.Is(err, os.ErrClosed) {
		return errors.Join(left, fmt.Errorf("bolt: close: %w", err))
	}
	return left
}

func (s *Store) closeDB() (err error) {
	defer catch(&err, debug.SetPanicOnFault(true))
	return s.db.Close()
}
