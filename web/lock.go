package web

import (
	"context"
	"net/http"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// Lock is the vault's lock. Unlock checks presence itself, for what it is checked against opens only with the keys: presence_required, with the keys wiped again.
// It tells whether presence was proven: false where nothing was looked at, as on a vault that is open, or where nothing proves it.
type Lock interface {
	Lock(context.Context, vault.Actor) (api.Lock, error)
	Unlock(context.Context, vault.Actor, api.Unlock) (out api.Lock, proven bool, err error)
	// Unlocking gives what plugins would be asked: whoever may copy the vault's file has it as well.
	Unlocking(context.Context) (api.Unlocking, error)
}

func (s *Server) lockRoutes() {
	s.handle("POST /api/v1/lock", http.StatusOK, s.lock)
	s.handle("POST /api/v1/unlock", http.StatusOK, s.unlock)
	s.handle("GET /api/v1/unlock", http.StatusOK, s.unlocking)
}

func (s *Server) lockOf() (Lock, error) {
	return have(s.o.Lock, "this daemon does not lock its vault")
}

// lock takes away, and needs no proof of presence.
func (s *Server) lock(r *http.Request) (any, error) {
	l, err := s.lockOf()
	if err != nil {
		return nil, err
	}
	out, err := l.Lock(r.Context(), operator(r))
	s.tickets.drop()
	s.asked.drop()
	return out, err
}

// unlock counts as a guess until it is right, whatever it brings: anybody of this user may try some, and each one unpacks keys. A ticket is for who was seen to prove
// presence: a word that nobody looked at, because the vault was open or its own passphrase was enough, buys none and stays counted.
func (s *Server) unlock(r *http.Request) (any, error) {
	l, err := s.lockOf()
	if err != nil {
		return nil, err
	}
	var in api.Unlock
	if err := read(r, &in); err != nil {
		return nil, err
	}
	defer in.Wipe()
	if err := s.tickets.try(); err != nil {
		return nil, s.deny(r, audit.VaultUnlock, fault.Of(err))
	}
	s.tickets.alone.Lock()
	defer s.tickets.alone.Unlock()
	out, proven, err := l.Unlock(r.Context(), operator(r), in)
	switch {
	case err == nil && proven:
		s.tickets.right()
		s.tickets.give(placeOf(r))
	case err == nil && !in.Claims() && out.By != "", !in.Brings() && (err == nil || fault.CodeOf(err) == fault.VaultLocked): // it opened the vault; or nothing was tried
		s.tickets.right()
	}
	return out, err
}

func (s *Server) unlocking(r *http.Request) (any, error) {
	l, err := s.lockOf()
	if err != nil {
		return nil, err
	}
	return l.Unlocking(r.Context())
}
