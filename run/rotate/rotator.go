package rotate

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Vault is what rotations need of the vault (vault.Vault).
type Vault interface {
	Resource(ctx context.Context, ref string) (vault.Resource, error)
	Rotation(ctx context.Context, ref string) (vault.Resource, *vault.Rotation, error)
	Rotations(ctx context.Context) ([]vault.Rotation, error)
	OldCredential(ctx context.Context, x vault.Rotation) (vault.Resource, error)
	BeginRotation(ctx context.Context, actor vault.Actor, ref string, n vault.NewRotation) (vault.Resource, vault.Rotation, error)
	SealRotation(ctx context.Context, actor vault.Actor, x vault.Rotation, secrets map[string]secret.Secret, notes map[string]string) (vault.Rotation, error)
	AdvanceRotation(ctx context.Context, actor vault.Actor, x vault.Rotation, to vault.RotationStep) (vault.Rotation, error)
	SwitchRotation(ctx context.Context, actor vault.Actor, x vault.Rotation) (vault.Resource, vault.Rotation, error)
	UnswitchRotation(ctx context.Context, actor vault.Actor, x vault.Rotation) (vault.Resource, vault.Rotation, error)
	FailRotation(ctx context.Context, actor vault.Actor, x vault.Rotation, f *fault.Error) error
	AbandonRotation(ctx context.Context, actor vault.Actor, x vault.Rotation) (vault.Resource, error)
	Sharing(ctx context.Context, r vault.Resource, fields []string) ([]string, error)
	EndRotation(ctx context.Context, actor vault.Actor, x vault.Rotation, purge bool) (vault.Resource, error)
}

var _ Vault = (*vault.Vault)(nil)

// Opener opens sealed fields (vault/open.Opener).
type Opener interface {
	Open(ref keyring.Ref, sealed string) (secret.Secret, error)
}

// Dial connects to host:port.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// Options wire a Rotator. Vault and Opener are required.
type Options struct {
	Vault  Vault
	Opener Opener
	Log    *slog.Logger     // nil: nothing is logged
	Clock  func() time.Time // nil: time.Now
	// Busy tells that work is under way until done is called. May be nil.
	Busy func() (done func())
	// Dialer gives how the hosts of a resource are dialled for databases and services; nil: as its policy allows.
	Dialer func(r vault.Resource) (Dial, error)
}

// Times of a rotator.
const (
	stepTimeout = 90 * time.Second // for one step
	lookEvery   = 30 * time.Second // for overlaps that have ended
	retryEvery  = 10 * time.Minute // where an end did not come about
)

// Rotator runs rotations. It may be used by many goroutines.
type Rotator struct {
	o Options
	// at is called between what is done and what is recorded: where tests stop it.
	at func(point string)

	mu   sync.Mutex
	busy map[string]bool      // by resource id
	next map[string]time.Time // by resource id: when an end that failed is tried again
}

// New makes a Rotator.
func New(o Options) *Rotator {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Busy == nil {
		o.Busy = func() func() { return func() {} }
	}
	if o.Dialer == nil {
		o.Dialer = dialer
	}
	return &Rotator{o: o, at: func(string) {}, busy: map[string]bool{}, next: map[string]time.Time{}}
}

// enter takes a resource for one rotation at a time.
func (t *Rotator) enter(r vault.Resource) (leave func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy[r.ID] {
		return nil, fault.New(fault.ResourceBusy, "a rotation of "+r.Handle+" is at work", "wait for its end: zavhoz resource rotate "+r.Handle+" --status")
	}
	t.busy[r.ID] = true
	done := t.o.Busy()
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.busy, r.ID)
		done()
	}, nil
}

// State is where a rotation is.
type State struct {
	Handle   string
	Resource string
	Version  uint64          // of the resource
	Rotation *vault.Rotation // nil: none is under way
	Working  bool            // something of it is being done in this moment
	Ended    string          // "done" or "aborted", of the call that ended it; else ""
	Remarks  []string
}

// Status tells where the rotation of a resource is. Errors: unknown_resource.
func (t *Rotator) Status(ctx context.Context, ref string) (State, error) {
	r, x, err := t.o.Vault.Rotation(ctx, ref)
	t.mu.Lock()
	defer t.mu.Unlock()
	return State{Handle: r.Handle, Resource: r.ID, Version: r.Version, Rotation: x, Working: t.busy[r.ID]}, err
}

// Plan tells what a rotation would do; nothing is done. compare has it tell what else holds the old value: that two values are the same is for who may see them, for whoever may add a
// resource could else try guesses.
func (t *Rotator) Plan(ctx context.Context, ref string, q Request, compare bool) (Plan, error) {
	r, err := t.o.Vault.Resource(ctx, ref)
	if err != nil {
		return Plan{}, err
	}
	m, p, err := plan(r, q)
	if err != nil || !compare {
		return p, err
	}
	p.Shared, err = t.shared(ctx, r, m)
	p.Compared = err == nil
	return p, err
}

// shared names what else stops working with the old credential.
func (t *Rotator) shared(ctx context.Context, r vault.Resource, m Method) ([]string, error) {
	fields := m.Fields
	if fields == nil {
		fields = vault.SecretFields(r)
	}
	return t.o.Vault.Sharing(ctx, r, fields)
}

// warnOfShared tells a person who else had the old credential. What cannot be compared stops no rotation.
func (t *Rotator) warnOfShared(ctx context.Context, m Method, j *Job) {
	names, err := t.shared(ctx, j.old, m)
	switch {
	case err != nil:
		j.Remark("whether other resources hold the same value could not be looked up: zavhoz doctor")
	case len(names) > 0:
		j.Remark("the same value is held by " + strings.Join(names, ", ") + ": it stops working there with the old credential; give each the new one")
	}
}

// Run ends overlaps when their time has come, until ctx ends.
func (t *Rotator) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		t.Due(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Due ends the overlaps whose time has come: it retires the old credentials. What does not get on is on record, and tried again later.
func (t *Rotator) Due(ctx context.Context) {
	all, err := t.o.Vault.Rotations(ctx)
	if err != nil {
		if ctx.Err() == nil && fault.CodeOf(err) != fault.VaultLocked {
			t.o.Log.Error("rotations cannot be read", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
		}
		return
	}
	now := t.o.Clock()
	for _, x := range all {
		if x.Step != vault.RotationSwitched || now.Before(x.Until) || now.Before(t.again(x.Resource)) {
			continue
		}
		if _, err := t.Resume(ctx, vault.SystemActor("rotation"), x.Resource); err != nil && ctx.Err() == nil {
			t.later(x.Resource, now.Add(retryEvery))
			t.o.Log.Error("the end of a rotation does not get on", "resource", x.Resource, "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
		}
	}
}

func (t *Rotator) again(rid string) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next[rid]
}

func (t *Rotator) later(rid string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next[rid] = at
}
