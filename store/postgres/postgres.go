package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// Store is one process's connections to the database. It satisfies store.Store.
type Store struct {
	opts   Options
	schema string
	sql    statements
	pool   *pgxpool.Pool
	log    *slog.Logger

	ctx  context.Context // ends with Close
	stop context.CancelFunc

	cache    *cache
	moments  moments
	writes   *writer
	warming  gather
	mute     atomic.Int64 // until when nothing is asked ahead
	watchers backend.Watchers
	teller   teller
	pulse    chan struct{} // 1 slot: there is something that other processes have not heard of; closed when nothing is written any more

	rewound   atomic.Bool // history went back, or is another one: nothing is read or written here any more
	ousted    atomic.Bool // somebody took the store for themselves while the connection was away
	mu        sync.Mutex
	closed    bool
	shut      chan struct{}  // closed with it
	running   sync.WaitGroup // Views and Updates
	tasks     sync.WaitGroup // goroutines of the store's own
	spreading sync.WaitGroup // the one that ends before them

	inject atomic.Pointer[error]                 // tests: the next commit fails with it
	onSend atomic.Pointer[func(err error) error] // tests: sees, and may change, what came of sending a commit
}

var _ store.Store = (*Store)(nil)

// Create makes the tables where they are not there yet and opens them. A database whose tables were made before is opened as it is: what is in it, the caller sees.
func Create(ctx context.Context, o Options) (*Store, error) {
	if o.ReadOnly {
		return nil, store.ErrReadOnly
	}
	if _, err := Prepare(ctx, o, ""); err != nil {
		return nil, err
	}
	return Open(ctx, o)
}

// Open opens tables that are there. Errors: fs.ErrNotExist (there are none), store.ErrFormat (of a newer zavhoz, or of an earlier one and not for reading alone: Prepare), store.ErrBusy (see
// Options.Exclusive), ErrOld, store.ErrDenied, store.ErrUnavailable.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Patience <= 0 {
		o.Patience = patience
	}
	schema, err := o.schema()
	if err != nil {
		return nil, err
	}
	cfg, err := o.config()
	if err != nil {
		return nil, err
	}
	s := &Store{opts: o, schema: schema, sql: statementsOf(schema), log: o.Log, writes: newWriter(), pulse: make(chan struct{}, 1), shut: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.moments.slots, s.moments.idle = make(chan struct{}, maxSnapshots), make(chan struct{}, 1)
	s.ctx, s.stop = context.WithCancel(context.Background())
	if s.pool, err = pgxpool.NewWithConfig(s.ctx, cfg); err != nil {
		s.stop()
		return nil, failure(ctx, err)
	}
	if err := s.first(ctx); err != nil {
		s.stop()
		s.pool.Close()
		return nil, err
	}
	conn, err := s.use(ctx)
	if err != nil {
		s.stop()
		s.pool.Close()
		return nil, err
	}
	s.tasks.Go(func() { s.follow(conn) })
	s.tasks.Go(s.sweep)
	s.spreading.Go(s.spread)
	return s, nil
}

// first looks at the tables and learns the moment.
func (s *Store) first(ctx context.Context) error {
	return s.patient(ctx, func(ctx context.Context) error {
		err := known(ctx, s.pool, s.schema, s.opts.ReadOnly)
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("postgres: no tables of zavhoz: %w", fs.ErrNotExist)
		}
		if err != nil {
			return err
		}
		var m moment
		if err := s.pool.QueryRow(ctx, s.sql.moment).Scan(&m.seq, &m.batch); err != nil {
			return failure(ctx, err)
		}
		if err := s.since(ctx, s.opts.Mark); err != nil {
			return err
		}
		s.cache = newCache(m)
		s.teller.at = m
		return nil
	})
}

// enter counts a call in; Close waits for it.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	if s.ousted.Load() {
		return store.ErrBusy
	}
	if s.rewound.Load() {
		return errRewound
	}
	s.running.Add(1)
	return nil
}

// Close waits for running transactions, ends the watchers and lets the connections go.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.ErrClosed
	}
	s.closed = true
	close(s.shut)
	s.mu.Unlock()

	s.watchers.Close()
	s.running.Wait()
	close(s.pulse)
	s.spreading.Wait()
	s.stop()
	s.tasks.Wait()
	s.moments.mu.Lock()
	if cur := s.moments.current; cur != nil {
		s.moments.current = nil
		s.closeLater(cur)
	}
	s.moments.mu.Unlock()
	s.moments.closing.Wait()
	s.pool.Close()
	return nil
}
