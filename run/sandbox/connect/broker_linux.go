package connect

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxAnswers  = 32  // questions worked on at once; a blocking connect may take a moment
	maxUnheard  = 256 // answers that were not heard, to be given again
	cutPause    = 5 * time.Millisecond
	patienceSec = 3 // for a blocking socket's connect to ourselves, and for the last guests: the command may filter its own packets
)

// Broker answers the questions of one filter until the last process under it has ended, or Close.
type Broker struct {
	route  func(netip.AddrPort) string
	ask    *questions
	v4, v6 *gate // v6 is nil on a machine without IPv6
	done   chan struct{}
	closed atomic.Bool // by Close: who is on the way in is not waited for

	mu        sync.Mutex
	ended     bool
	listeners map[string]*virtual
	turns     map[uint64]*turn      // of sockets that are worked on, by cookie
	dials     map[*socket]bool      // connects that are under way
	unheard   map[uint64]unix.Errno // the answer was lost to a signal, and the call begins anew
}

// New takes over the listener of a filter with seccomp.Options.Notify and starts to answer. Close it, also after Done.
func New(listener *os.File, o Options) (*Broker, error) {
	if o.Route == nil {
		_ = listener.Close()
		return nil, errNoRoute
	}
	ask, err := newQuestions(listener)
	if err != nil {
		return nil, err
	}
	v4, err := newGate("127.0.0.1")
	if err != nil {
		_ = ask.close()
		return nil, err
	}
	v6, _ := newGate("::1")
	b := &Broker{route: o.Route, ask: ask, v4: v4, v6: v6, done: make(chan struct{}),
		listeners: map[string]*virtual{}, turns: map[uint64]*turn{}, dials: map[*socket]bool{}, unheard: map[uint64]unix.Errno{}}
	go b.serve()
	return b, nil
}

// Listener is the virtual listener of a name, always the same: its Accept gives the command's connections that Route sends there, each a *net.TCPConn.
// Until it is asked for, and after its Close, such connections are refused. When the broker ends so does it, after what waits was accepted.
func (b *Broker) Listener(name string) net.Listener {
	b.mu.Lock()
	defer b.mu.Unlock()
	v, ok := b.listeners[name]
	if !ok {
		v = newVirtual(name)
		b.listeners[name] = v
		if b.ended {
			v.end()
		}
	}
	return v
}

// Done is closed once nobody is left to ask: the last process has ended, or Close was called.
func (b *Broker) Done() <-chan struct{} { return b.done }

// Close ends the broker, and waits until its goroutines are gone. What still waits in connect(2) gets ENOSYS, and what waits to be accepted is closed; where the broker had ended
// by itself, it can still be accepted.
func (b *Broker) Close() error {
	select {
	case <-b.done:
		return nil
	default:
	}
	b.closed.Store(true)
	err := b.ask.close()
	b.drain()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range b.listeners {
		_ = v.Close()
	}
	if errors.Is(err, os.ErrClosed) { // it was about to end by itself
		return nil
	}
	return err
}

// drain waits until nobody answers any more. A connect may begin after it was cut, so it is cut until then.
func (b *Broker) drain() {
	for {
		b.cut()
		select {
		case <-b.done:
			return
		case <-time.After(cutPause):
		}
	}
}

// serve owns all goroutines of the broker.
func (b *Broker) serve() {
	defer close(b.done)
	var answers sync.WaitGroup
	slots := make(chan struct{}, maxAnswers)
	for {
		n, err := b.ask.next()
		if err != nil {
			break
		}
		slots <- struct{}{}
		answers.Go(func() {
			defer func() { <-slots }()
			b.answer(n)
		})
	}
	answers.Wait()
	_ = b.ask.close()
	end := time.Now().Add(patienceSec * time.Second)
	giveUp := func() bool { return b.closed.Load() || time.Now().After(end) }
	for _, g := range []*gate{b.v4, b.v6} {
		if g != nil {
			g.settle(giveUp)
			g.close()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	for _, v := range b.listeners {
		v.end()
	}
}

// answer works on one question.
func (b *Broker) answer(n notification) {
	t, errno := readTarget(n)
	if !b.ask.valid(n.id) {
		return
	}
	var to *virtual
	if errno == 0 {
		to, errno = b.choose(t)
	}
	if errno != 0 {
		_ = b.ask.answer(n.id, errno)
		return
	}
	s, errno := b.takeSocket(n)
	if errno != 0 {
		_ = b.ask.answer(n.id, errno)
		return
	}
	defer b.takeTurn(s.cookie)()
	cookie := s.cookie
	errno, fresh := b.connect(s, t, to)
	if b.ask.answer(n.id, errno) != nil && fresh {
		b.lost(cookie, errno)
	}
}

// choose finds the listener for an address.
func (b *Broker) choose(t target) (*virtual, unix.Errno) {
	addr := netip.AddrPortFrom(t.addr.Addr().Unmap(), t.addr.Port())
	refused := unix.ENETUNREACH
	if addr.Addr().IsLoopback() || addr.Addr().IsUnspecified() {
		refused = unix.ECONNREFUSED
	}
	name := b.route(addr)
	b.mu.Lock()
	v := b.listeners[name]
	b.mu.Unlock()
	if name == "" || v == nil || !v.open() {
		return nil, refused
	}
	return v, 0
}

// turn makes questions about one socket wait for each other: a signal may overtake an answer, and the call begins anew before it was given.
type turn struct {
	sync.Mutex
	waiting int
}

// takeTurn waits until nobody else works on the socket, and gives the function that ends the turn.
func (b *Broker) takeTurn(cookie uint64) func() {
	b.mu.Lock()
	t := b.turns[cookie]
	if t == nil {
		t = &turn{}
		b.turns[cookie] = t
	}
	t.waiting++
	b.mu.Unlock()
	t.Lock()
	return func() {
		t.Unlock()
		b.mu.Lock()
		defer b.mu.Unlock()
		if t.waiting--; t.waiting == 0 {
			delete(b.turns, cookie)
		}
	}
}

// lost keeps an answer that a signal overtook: the same call comes again, for a socket that is connected by now.
func (b *Broker) lost(cookie uint64, errno unix.Errno) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.unheard) >= maxUnheard { // of sockets that nobody asked about again
		clear(b.unheard)
	}
	b.unheard[cookie] = errno
}

// heard gives a lost answer, once.
func (b *Broker) heard(cookie uint64) (unix.Errno, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	errno, ok := b.unheard[cookie]
	delete(b.unheard, cookie)
	return errno, ok
}
