package web

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// Limits of presence.
const (
	ticketLife  = 5 * time.Minute
	maxTickets  = 256
	maxFailures = 5 // wrong passphrases a minute, over all terminals
)

// Peer is the process at the other end of the operator's socket, as the kernel tells it.
type Peer struct {
	UID int
	PID int
}

type peerKey struct{}

// WithPeer puts the peer into a connection's context (http.Server.ConnContext).
func WithPeer(ctx context.Context, p Peer) context.Context {
	return context.WithValue(ctx, peerKey{}, p)
}

// seat is where a person sits: the terminal, its session, and the shell (or other program) that started the command, told apart from a later one with
// the same pid by its start time. An agent that shares the terminal has another parent, and so another seat. The zero seat is nowhere.
type seat struct {
	uid, tty, session, parent int
	parentStart               uint64
}

// tickets remember for five minutes at which seats a person has proven to be present.
type tickets struct {
	now    func() time.Time
	mu     sync.Mutex
	until  map[seat]time.Time
	failed []time.Time
}

func newTickets(now func() time.Time) *tickets {
	return &tickets{now: now, until: map[seat]time.Time{}}
}

func (t *tickets) give(s seat) {
	if s == (seat{}) {
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
	t.until[s] = now.Add(ticketLife)
}

func (t *tickets) has(s seat) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	u, ok := t.until[s]
	return ok && s != (seat{}) && t.now().Before(u)
}

// drop forgets every ticket: after the passphrase changes.
func (t *tickets) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.until)
}

// mayTry refuses guessing: five wrong passphrases a minute.
func (t *tickets) mayTry() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for len(t.failed) > 0 && now.Sub(t.failed[0]) > time.Minute {
		t.failed = t.failed[1:]
	}
	if len(t.failed) >= maxFailures {
		return fault.New(fault.RateLimited, "too many wrong passphrases", "wait a minute").With("retry_after_s", 60)
	}
	return nil
}

func (t *tickets) wrong() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = append(t.failed, t.now())
}

// present refuses an act of wall 4 from where nobody has proven to be present. Without a passphrase set it refuses nothing, and init, doctor and
// get_status say what that loses.
func (s *Server) present(r *http.Request) error {
	set, err := s.o.Vault.HasPresence(r.Context())
	if err != nil || !set {
		return err
	}
	peer, _ := r.Context().Value(peerKey{}).(Peer)
	if s.tickets.has(seatOf(peer)) {
		return nil
	}
	return fault.New(fault.PresenceRequired, "this needs the operator's passphrase", "run the command on a terminal of your own, where zavhoz can ask for it")
}

// prove takes the passphrase and gives the seat a ticket.
func (s *Server) prove(r *http.Request) (any, error) {
	var in api.Presence
	if err := read(r, &in); err != nil {
		return nil, err
	}
	defer in.Passphrase.Wipe()
	if err := s.tickets.mayTry(); err != nil {
		return nil, err
	}
	if err := s.o.Vault.CheckPresence(r.Context(), operator(r), in.Passphrase.Secret); err != nil {
		s.tickets.wrong()
		return nil, err
	}
	peer, _ := r.Context().Value(peerKey{}).(Peer)
	s.tickets.give(seatOf(peer))
	return struct{}{}, nil
}

// setPresence sets or changes the passphrase. Changing needs a ticket; setting the first needs none, for then anyone of this uid could do all that it guards.
func (s *Server) setPresence(r *http.Request) (any, error) {
	var in api.Presence
	if err := read(r, &in); err != nil {
		return nil, err
	}
	defer in.Passphrase.Wipe()
	if err := s.present(r); err != nil {
		return nil, err
	}
	if err := s.o.Vault.SetPresence(r.Context(), operator(r), in.Passphrase.Secret); err != nil {
		return nil, err
	}
	s.tickets.drop()
	return struct{}{}, nil
}
