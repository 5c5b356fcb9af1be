package web

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// Limits of presence.
const (
	ticketLife  = 5 * time.Minute
	maxTickets  = 256
	maxFailures = 5 // wrong passphrases a minute, over all places
)

// Peer is the process at the other end of the operator's socket, as the kernel tells it.
type Peer struct {
	UID int
	PID int
	// Same tells whether the process that connected is alive, and so PID still its own: a daemon that was stopped for a while reads the pid of who is gone, and
	// whose it is by then. nil: nobody can tell, and the peer sits nowhere.
	Same func() bool
}

type placeKey struct{}

// WithPeer puts the peer into a connection's context (http.Server.ConnContext). Where it sits is read at once: later its pid may be another's.
func WithPeer(ctx context.Context, p Peer) context.Context {
	at := place{seat: seatOf(p)}
	if at.seat == (seat{}) {
		at.conn = new(connection)
	}
	return context.WithValue(ctx, placeKey{}, at)
}

// seat is where a person sits: the terminal, its session, and the shell (or other program) that started the command, told apart from a later one with
// the same pid by its start time. An agent that shares the terminal has another parent, and so another seat; one that the person's own shell started has that
// shell for its parent, so who sits there is this program alone, in the foreground. The zero seat is nowhere.
type seat struct {
	uid, tty, session, parent int
	parentStart               uint64
}

// place is what a ticket is for: a seat, or where the system tells of none, the one connection that brought the passphrase. The zero place is none.
type place struct {
	seat
	conn *connection
}

// connection is told apart by its address; it has a size, for pointers to what has none may be equal.
type connection struct{ _ byte }

func placeOf(r *http.Request) place {
	at, _ := r.Context().Value(placeKey{}).(place)
	return at
}

// tickets remember for five minutes at which places a person has proven to be present.
type tickets struct {
	now   func() time.Time
	alone sync.Mutex // held while a passphrase is checked or set: each takes 64 MiB

	mu    sync.Mutex
	until map[place]time.Time
	tried []time.Time // passphrases under way or wrong
}

func newTickets(now func() time.Time) *tickets {
	return &tickets{now: now, until: map[place]time.Time{}}
}

func (t *tickets) give(at place) {
	if at == (place{}) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for k, u := range t.until {
		if now.After(u) || len(t.until) >= maxTickets {
			delete(t.until, k)
		}
	}
	t.until[at] = now.Add(ticketLife)
}

func (t *tickets) has(at place) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	u, ok := t.until[at]
	return ok && at != (place{}) && t.now().Before(u)
}

// drop forgets every ticket: after the passphrase changes.
func (t *tickets) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.until)
}

// try counts a guess before it is looked at, so that guesses sent at once cannot pass the limit together; right takes a good one back.
func (t *tickets) try() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for len(t.tried) > 0 && now.Sub(t.tried[0]) > time.Minute {
		t.tried = t.tried[1:]
	}
	if len(t.tried) >= maxFailures {
		return fault.New(fault.RateLimited, "too many wrong passphrases", "wait a minute").With("retry_after_s", 60)
	}
	t.tried = append(t.tried, now)
	return nil
}

func (t *tickets) right() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.tried); n > 0 {
		t.tried = t.tried[:n-1]
	}
}

// present refuses an act of wall 4 from where nobody has proven to be present, and records that. Without a passphrase set it refuses nothing, and init,
// doctor and get_status say what that loses.
//
// Over HTTP there is no presence, whether or not it is set: what asks for it is refused, save where the token's scope stands for it (reach.go).
func (s *Server) present(r *http.Request, act audit.Action) error {
	if callerOf(r) != nil {
		if overHTTP[r.Pattern].acts {
			return nil
		}
		return s.deny(r, act, fault.New(fault.PresenceRequired, "this needs the operator's presence, which nobody proves over HTTP", "a person does it with the command of zavhoz on its machine"))
	}
	set, err := s.o.Vault.HasPresence(r.Context())
	if err != nil || !set || s.tickets.has(placeOf(r)) {
		return err
	}
	return s.deny(r, act, fault.New(fault.PresenceRequired, "this needs proof of the operator's presence", "run the command on a terminal of your own, where zavhoz can ask for it"))
}

// deny records a refusal; where it cannot be recorded, that is the answer.
func (s *Server) deny(r *http.Request, act audit.Action, f *fault.Error) error {
	e := audit.Event{Actor: operator(r), Action: act, Outcome: audit.Denied, Code: string(f.Code)}
	if h := r.PathValue("handle"); vault.CheckHandle(h) == nil { // anything else may be a value in the wrong place
		e.Handle = h
	}
	if err := s.o.Vault.Note(r.Context(), e); err != nil {
		return err
	}
	return f
}

// checked says that presence was proven.
func checked(who vault.Actor) audit.Event {
	return audit.Event{Actor: who, Action: audit.PresenceCheck, Outcome: audit.Allowed}
}

// prove takes the passphrase and gives the place a ticket.
func (s *Server) prove(r *http.Request) (any, error) {
	var in api.Presence
	if err := read(r, &in); err != nil {
		return nil, err
	}
	defer in.Wipe()
	if err := s.tickets.try(); err != nil {
		return nil, s.deny(r, audit.PresenceCheck, fault.Of(err))
	}
	s.tickets.alone.Lock()
	defer s.tickets.alone.Unlock()
	var err error
	if in.Answer.IsZero() {
		err = s.o.Vault.CheckPresence(r.Context(), operator(r), in.Passphrase.Secret)
	} else {
		err = s.answered(r.Context(), r, in)
	}
	switch fault.CodeOf(err) {
	case "":
		s.tickets.give(placeOf(r))
		s.tickets.right()
	case fault.InvalidArgument: // none is set: there was nothing to guess
		s.tickets.right()
	}
	return struct{}{}, err
}

// setPresence sets or changes the passphrase. Changing needs a ticket; setting the first needs none, for then anyone of this uid could do all that it
// guards. Of two who set the first at once, one comes second and needs a ticket.
func (s *Server) setPresence(r *http.Request) (any, error) {
	var in api.Presence
	if err := read(r, &in); err != nil {
		return nil, err
	}
	defer in.Wipe()
	s.tickets.alone.Lock()
	defer s.tickets.alone.Unlock()
	if err := s.present(r, audit.PresenceSet); err != nil {
		return nil, err
	}
	var err error
	if in.By != "" {
		err = s.setKey(r, in)
	} else {
		err = s.o.Vault.SetPresence(r.Context(), operator(r), in.Passphrase.Secret)
	}
	if err != nil {
		return nil, err
	}
	s.tickets.drop()
	s.asked.drop()
	return struct{}{}, nil
}
