package web

import (
	"context"
	"encoding/base64"
	"net/http"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

// Limits of challenges.
const (
	challengeLife = 3 * time.Minute // a person looks for their key
	maxChallenges = 64
)

// challenges are those that wait for an answer, one a place. An answer is good once, and at the place that asked: what another program saw of it is of no use.
type challenges struct {
	now func() time.Time
	mu  sync.Mutex
	at  map[place]challenge
}

type challenge struct {
	to    keyring.Purpose
	key   string // that it was made for: an answer of another key is none, though that one was asked here before
	want  secret.Secret
	until time.Time
}

func (c *challenges) put(at place, to keyring.Purpose, key string, want secret.Secret) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for k, x := range c.at {
		if k == at || now.After(x.until) || len(c.at) >= maxChallenges {
			x.want.Wipe()
			delete(c.at, k)
		}
	}
	c.at[at] = challenge{to, key, want, now.Add(challengeLife)}
}

// drop forgets all of them: after what proves presence changes, and when the vault is locked.
func (c *challenges) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.at {
		x.want.Wipe()
	}
	clear(c.at)
}

// take tells whether text answers the challenge of a place for that purpose and key. The challenge is over with that.
func (c *challenges) take(at place, to keyring.Purpose, key string, text secret.Secret) bool {
	c.mu.Lock()
	x, there := c.at[at]
	delete(c.at, at)
	c.mu.Unlock()
	defer x.want.Wipe()
	return there && at != (place{}) && x.to == to && x.key == key && c.now().Before(x.until) && keyring.Answers(text, x.want)
}

// challenge tells what proves presence, and where that is a key gives something for it to open. Whoever asks learns nothing that they could answer with.
func (s *Server) challenge(r *http.Request) (any, error) {
	p, err := s.o.Vault.Presence(r.Context())
	if err != nil {
		return nil, err
	}
	out := api.Challenge{By: p.By, Identity: p.Identity, VaultID: s.o.VaultID}
	switch {
	case p.Format == 0:
		return nil, fault.New(fault.InvalidArgument, "nothing proves the operator's presence yet", "set it: `zavhoz presence set`")
	case p.By == "":
		out.By = "passphrase"
		return out, nil
	}
	file, want, err := p.Challenge(s.o.Plugins, s.o.VaultID, keyring.ToProve)
	if err != nil {
		return nil, err
	}
	s.asked.put(placeOf(r), keyring.ToProve, p.Key(), want)
	out.File = file
	return out, nil
}

// answered checks what a key answered. It must be the key that proves presence now: a challenge to any other, asked before that one was set, proves nothing.
func (s *Server) answered(ctx context.Context, r *http.Request, in api.Presence) error {
	p, err := s.o.Vault.Presence(ctx)
	if err != nil {
		return err
	}
	if p.By == "" || !s.asked.take(placeOf(r), keyring.ToProve, p.Key(), in.Answer.Secret) {
		return s.o.Vault.DenyPresence(ctx, operator(r))
	}
	return s.o.Vault.Note(ctx, checked(operator(r)))
}

// setKey makes a key what proves presence, once it has answered a challenge of that key's own: a key that nobody can use would lock its owner out.
func (s *Server) setKey(r *http.Request, in api.Presence) error {
	p, err := keyring.PresenceByKey(in.By, in.Recipient, in.Identity, s.o.Plugins, s.o.Clock())
	if err != nil {
		return err
	}
	if in.Answer.IsZero() {
		file, want, err := p.Challenge(s.o.Plugins, s.o.VaultID, keyring.ToSet)
		if err != nil {
			return err
		}
		s.asked.put(placeOf(r), keyring.ToSet, p.Key(), want)
		return fault.New(fault.PresenceRequired, "the key is to answer first", "").With("challenge", base64.StdEncoding.EncodeToString(file)).
			With("by", in.By).With("identity", in.Identity).With("vault_id", s.o.VaultID)
	}
	if !s.asked.take(placeOf(r), keyring.ToSet, p.Key(), in.Answer.Secret) {
		return fault.New(fault.SecretInvalid, "the key's answer is not right", "try again")
	}
	return s.o.Vault.SetPresenceKey(r.Context(), operator(r), in.By, in.Recipient, in.Identity, s.o.Plugins)
}
