package postgres

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

// Front serves one database resource to one run. Make it by New.
type Front struct {
	o     Options
	shown shown

	ctx    context.Context
	end    context.CancelFunc
	wg     sync.WaitGroup // every goroutine of the front
	conns  atomic.Uint64  // numbers them
	slots  chan struct{}  // one is taken by each connection that is let in
	unsaid atomic.Bool    // an event could not be recorded: no more connections
	denied *allowance     // how often a child may be refused
	cancel *rate.Limiter  // how often it may cancel

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]bool
	sockets   map[net.Conn]bool   // the children's
	live      map[uint32]*session // logged in, by their cancel number
}

// minPlaceholder is how many letters and digits a placeholder has at least: nobody hits one by chance.
const minPlaceholder = 20

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// New opens the URL once and checks that it can be served, so that a run fails before it starts and not at its first query.
// Errors: secret_invalid, not_supported, those of Options.URL; a missing option is a defect of the caller.
func New(o Options) (*Front, error) {
	if o.Handle == "" || o.URL == nil || o.Dial == nil || o.Mask == nil || o.Record == nil {
		return nil, errOption
	}
	if len(o.Placeholder) < minPlaceholder || strings.Trim(o.Placeholder, alphanumeric) != "" {
		return nil, fmt.Errorf("%w: a placeholder of %d letters and digits", errOption, minPlaceholder)
	}
	o.MaxConns = cmp.Or(o.MaxConns, 64)
	o.StartupTimeout = cmp.Or(o.StartupTimeout, 10*time.Second)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 30*time.Second)
	if o.Random == nil {
		o.Random = rand.Reader
	}
	f := &Front{o: o, listeners: map[net.Listener]bool{}, sockets: map[net.Conn]bool{}, slots: make(chan struct{}, o.MaxConns), live: map[uint32]*session{}}
	t, err := f.open()
	if err != nil {
		return nil, err
	}
	defer t.wipe()
	f.shown = t.shown()
	f.denied, f.cancel = newAllowance(perSecond, max(atOnce, o.MaxConns)), rate.NewLimiter(perSecond, atOnce)
	f.ctx, f.end = context.WithCancel(context.Background())
	return f, nil
}

// How often a child may have itself refused, or cancel. What comes faster is not served: it would fill the record, and have the server lock the user
// out for logins that failed.
const (
	perSecond = 5
	atOnce    = 64 // or as many as are let in: none of a pool that is opened at once has to wait
)

// open reads where the URL leads, as of now.
func (f *Front) open() (*target, error) {
	u, err := f.o.URL()
	if err != nil {
		return nil, err
	}
	return readTarget(f.o.Handle, u)
}

// URL is what the child gets in place of the resource's URL: addr is host:port of the listener as the child sees it. Driver and harmless parameters are
// the true one's, TLS is off, the password is the placeholder.
func (f *Front) URL(addr string) string { return f.shown.url(addr, f.o.Placeholder) }

// Serve answers connections until Close; then it gives nil. It may be called for several listeners, and closes them.
func (f *Front) Serve(l net.Listener) error {
	defer l.Close()
	if !f.enlist(func() { f.listeners[l] = true }) {
		return nil
	}
	defer f.wg.Done()
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
		case f.over():
			return nil
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
			time.Sleep(acceptPause) // the process is out of descriptors, by whatever it does: that passes
			continue
		default:
			return err
		}
		if !f.enlist(func() { f.sockets[c] = true }) {
			_ = c.Close()
			continue
		}
		go func() {
			defer f.wg.Done()
			defer f.drop(c)
			f.answer(c)
		}()
	}
}

// acceptPause is how long accepting rests when the process has no descriptor left.
const acceptPause = 50 * time.Millisecond

func (f *Front) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// enlist counts a goroutine in, unless the front is closed or holds more sockets than logins and their cancel requests can need.
func (f *Front) enlist(note func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.sockets) >= 2*f.o.MaxConns+16 {
		return false
	}
	f.wg.Add(1)
	note()
	return true
}

func (f *Front) drop(c net.Conn) {
	_ = c.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sockets, c)
}

// Close ends every connection, cancels what they have running upstream, and waits. Its error says that an event could not be recorded.
func (f *Front) Close() error {
	f.mu.Lock()
	f.closed = true
	for l := range f.listeners {
		_ = l.Close()
	}
	var busy []*session
	for _, s := range f.live {
		if s.busy() {
			busy = append(busy, s)
		}
	}
	f.mu.Unlock()
	f.stop(busy)
	f.end()
	f.mu.Lock()
	for c := range f.sockets {
		_ = c.Close()
	}
	for _, s := range f.live {
		_ = s.up.conn.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
	if f.unsaid.Load() {
		return errors.New("postgres: an event of " + f.o.Handle + " could not be recorded")
	}
	return nil
}

// stopTimeout is how long the end of a run waits for its queries to be cancelled.
const stopTimeout = 3 * time.Second

// stop cancels queries whose run is over: the server would notice only when it next writes.
func (f *Front) stop(busy []*session) {
	ctx, cancel := context.WithTimeout(f.ctx, stopTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range busy {
		wg.Go(func() {
			defer contain(func() {})
			_ = s.up.pg.CancelRequest(ctx)
		})
	}
	wg.Wait()
}

// record tells an event, and remembers that one could not be told.
func (f *Front) record(e Event) error {
	e.Handle = f.o.Handle
	err := f.told(e)
	if err != nil {
		f.unsaid.Store(true)
	}
	return err
}

// told makes a record that fails of one that panics.
func (f *Front) told(e Event) (err error) {
	defer contain(func() { err = errDefect })
	return f.o.Record(e)
}

// same tells whether the child may say so: by the name it was given, or by the true one.
func same(given, shown, truly string) bool { return given == shown || given == truly }
