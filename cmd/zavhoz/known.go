package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// knownName is the file of a home that remembers which vault its database held, and how far it was: who writes the database can put another vault there, or an earlier
// state of this one, and both are consistent in themselves.
const knownName = "known.json"

// rememberEvery is how often a daemon writes how far the vault is.
const rememberEvery = time.Minute

// known is what the file holds.
type known struct {
	vault.Mark
	Place  string `json:"place"`  // of the database; the moment is one of that place
	Moment string `json:"moment"` // of the store

	Lockdown string `json:"lockdown,omitempty"` // the last lock for every daemon that this home knew of (vault.Lockdown)
}

// marked is a store that others may write to.
type marked interface {
	Mark() string
	Uncache()
}

func readKnown(dir home.Dir) (k known, err error) {
	b, err := os.ReadFile(filepath.Join(dir.Path(), knownName))
	if err != nil {
		return k, err
	}
	if err := json.Unmarshal(b, &k); err != nil {
		return k, fault.New(fault.VaultCorrupt, "what the home remembers of its vault cannot be read", "a person starts the daemon once with `zavhoz serve --accept-store`").Because(err)
	}
	return k, nil
}

// keepKnown writes the file: for its owner alone, whole or not at all.
func keepKnown(ctx context.Context, folder string, p vaultPlace, v *vault.Vault, st marked, lockdown string) error {
	moment := st.Mark() // before the records are read: it may be behind them, never before
	m, err := v.Mark(ctx)
	if err != nil {
		return err
	}
	b, err := json.Marshal(known{Mark: m, Place: p.String(), Moment: moment, Lockdown: lockdown})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, "."+knownName+"-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(folder, knownName))
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// memory is what a home remembers of the vault at a place. Everything that opens a vault holds it to that: a daemon, and the commands that need none.
type memory struct {
	known
	place string
	there bool
}

// remembered reads what a home remembers of a vault: of its own, wherever it was when that was written, and of another place only what was written there. Zero: nothing.
func remembered(dir home.Dir, at vaultPlace, own bool) (m memory, err error) {
	if at.pg == nil {
		return m, nil
	}
	m.place = at.String()
	m.known, err = readKnown(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	m.there = err == nil && (own || m.Place == m.place)
	return m, err
}

// moment gives the one that the database may not be behind; "" where none is known. Of a vault that was copied to another database the records are looked at once they can be read.
func (m memory) moment() string {
	if !m.there || m.Place != m.place {
		return ""
	}
	return m.Moment
}

// fits refuses a key header that is another vault's.
func (m memory) fits(header []byte) error {
	if !m.there {
		return nil
	}
	id, err := keyring.VaultOf(header)
	if err != nil {
		return err
	}
	return m.Is(id)
}

// recognise refuses a vault that is not the one that the home knows, or an earlier state of it.
func (m memory) recognise(ctx context.Context, v *vault.Vault) error {
	if !m.there {
		return nil
	}
	return v.Recognise(ctx, m.Mark)
}

// remembers is what the daemon's home remembers of its vault; nothing where a person said that it does not count.
func (d *daemon) remembers() (memory, error) {
	if !d.dir.IsAway() || d.o.accept {
		return memory{}, nil
	}
	return remembered(d.dir, d.o.place, true)
}

// recognise holds the vault to that. The first that a home serves it takes.
func (d *daemon) recognise(ctx context.Context) error {
	m, err := d.remembers()
	if err != nil {
		return err
	}
	if m.place != "" && !m.there {
		d.log.Info("this home knows no vault yet, and takes the one that the database holds", "vault", d.ring.VaultID())
	}
	return m.recognise(ctx, d.vault)
}

// remember keeps how far the vault is. What was accepted is known then.
func (d *daemon) remember(ctx context.Context) error {
	st, away := d.lock.raw.(marked)
	if !away || d.vault.Distrusted() != nil {
		return nil
	}
	err := keepKnown(ctx, d.dir.Path(), d.o.place, d.vault, st, d.lock.seen)
	if err == nil {
		d.o.accept = false
	}
	return err
}

// guard watches over a vault that others can write to, until ctx ends.
func (d *daemon) guard(ctx context.Context) {
	st, away := d.lock.raw.(marked)
	if !away {
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		d.vault.Guard(ctx, vault.Guard{Changes: d.vault.Changes(ctx), Uncache: st.Uncache, Log: d.log})
	})
	tick := time.NewTicker(rememberEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		d.lock.mu.Lock() // not while it is locked or unlocked
		var err error
		if !d.lock.gate.IsShut() {
			limit, cancel := context.WithTimeout(ctx, 5*time.Second) // a lock waits for it
			err = d.remember(limit)
			cancel()
		}
		d.lock.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			d.log.Warn("how far the vault is could not be kept", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
		}
	}
}

// agreeToStore asks a person whether what the database holds is to be taken for the vault: a program could be the one who put it there.
func (a *app) agreeToStore(ctx context.Context, o serveOptions) error {
	switch {
	case !o.accept:
		return nil
	case o.autostarted || !a.person():
		return fault.New(fault.PresenceRequired, "whether another vault, or an earlier state of this one, is to be taken is asked at a terminal", "run `zavhoz serve --accept-store` at one")
	case !a.askYes(ctx, "Take what "+plain(o.place.String())+" holds now for this home's vault, whatever was there before?"):
		return fault.New(fault.Canceled, "nothing was changed", "")
	}
	return nil
}
