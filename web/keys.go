package web

import (
	"context"
	"net/http"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

// Keys are the slots and data keys of the vault (vault/rekey, by way of the program: this package must not reach what opens).
type Keys interface {
	Overview(context.Context) (api.Keys, error)
	Header(context.Context, vault.Actor) (api.KeyHeader, error)
	// Add and Rotate wipe what they are given.
	Add(context.Context, vault.Actor, api.NewSlot) (api.Slot, error)
	Remove(ctx context.Context, actor vault.Actor, name string, force bool) (api.Slot, error)
	Rotate(ctx context.Context, actor vault.Actor, passphrases []secret.Secret) (api.Rotation, error)
}

func (s *Server) keyRoutes() {
	s.handle("GET /api/v1/keys", http.StatusOK, s.listKeys)
	s.guarded("GET /api/v1/keys/header", http.StatusOK, audit.KeyCheck, s.keyHeader)
	s.guarded("POST /api/v1/keys", http.StatusCreated, audit.KeyAdd, s.addKey)
	s.guarded("DELETE /api/v1/keys/{slot}", http.StatusOK, audit.KeyRemove, s.removeKey)
	s.guarded("POST /api/v1/keys/rotate", http.StatusAccepted, audit.KeyRotate, s.rotateKey)
}

func (s *Server) keys() (Keys, error) {
	return have(s.o.Keys, "this daemon changes no keys")
}

// have gives a part of the program that a daemon may be without.
func have[T comparable](part T, without string) (T, error) {
	var none T
	if part == none {
		return none, fault.New(fault.NotSupported, without, "")
	}
	return part, nil
}

func (s *Server) listKeys(r *http.Request) (any, error) {
	k, err := s.keys()
	if err != nil {
		return nil, err
	}
	return k.Overview(r.Context())
}

// keyHeader gives ciphertexts only, but who has them may guess a slot's passphrase at leisure: it is guarded like what reveals.
func (s *Server) keyHeader(r *http.Request) (any, error) {
	k, err := s.keys()
	if err != nil {
		return nil, err
	}
	return k.Header(r.Context(), operator(r))
}

func (s *Server) addKey(r *http.Request) (any, error) {
	k, err := s.keys()
	if err != nil {
		return nil, err
	}
	var in api.NewSlot
	if err := read(r, &in); err != nil {
		return nil, err
	}
	defer in.Passphrase.Wipe()
	return k.Add(r.Context(), operator(r), in)
}

func (s *Server) removeKey(r *http.Request) (any, error) {
	k, err := s.keys()
	if err != nil {
		return nil, err
	}
	return k.Remove(r.Context(), operator(r), r.PathValue("slot"), r.URL.Query().Get("force") == "true")
}

func (s *Server) rotateKey(r *http.Request) (any, error) {
	k, err := s.keys()
	if err != nil {
		return nil, err
	}
	var in api.Rotate
	if err := read(r, &in); err != nil {
		return nil, err
	}
	words := make([]secret.Secret, len(in.Passphrases))
	for i, p := range in.Passphrases {
		words[i] = p.Secret
	}
	return k.Rotate(r.Context(), operator(r), words)
}
