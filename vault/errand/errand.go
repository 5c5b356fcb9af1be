// Package errand carries questions between the daemons that share a vault, and their answers, by way of the vault's own store: what one daemon alone knows or can do (the
// output of a run that it runs, its end, a cycle of sync) is asked of it, whichever daemon a client came to.
//
// Promise: a question is carried out by the daemon it is for, at most once, and answered once; who asks gets the answer, or an error within its time. Both lie in the store for
// seconds, sealed and authenticated as every record is, and are gone with the answer; what nobody took goes after ten minutes.
//
// Why not from daemon to daemon: that would need an address, a port, a certificate and a token for each; the store is reached by all of them already, and who can write it
// without the vault's keys can ask nothing, read nothing and answer nothing (threat-model.md 57, 66, 72). A question authorises nobody: who it is for checks the actor again.
package errand

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// The collections.
const (
	Questions store.Collection = "errands"
	Answers   store.Collection = "errand_answers"
)

// Leader is who does what the clock asks for, whichever daemon that is.
const Leader = "leader"

// Times of an errand.
const (
	patience = 10 * time.Second // of who asks, where its context has no end
	longest  = 10 * time.Minute // that one may take
	skew     = 2 * time.Minute  // between the clocks of two daemons, at most
	keep     = 20 * time.Minute // of what nobody took, and of what was carried out: longer than a question is good for
	poll     = time.Second      // where no notice came
	tidying  = 2 * time.Second  // of taking rows away: whoever asked waits for it
	slots    = 32               // questions at once
)

// question is one errand on its way. Its key is To/ID.
type question struct {
	Format int       `json:"format"` // 1
	ID     string    `json:"id"`     // ern_…
	To     string    `json:"to"`     // rpl_…, or Leader
	From   string    `json:"from"`   // rpl_…
	What   string    `json:"what"`
	Body   string    `json:"body"` // sealed
	At     time.Time `json:"at"`
	Wait   int64     `json:"wait_ms"`         // that it may take
	Taken  bool      `json:"taken,omitempty"` // it is being carried out
}

func (q question) wait() time.Duration {
	return min(max(time.Duration(q.Wait)*time.Millisecond, 0), longest)
}

// answer is what came of it. Its key is the question's id.
type answer struct {
	Format int       `json:"format"` // 1
	ID     string    `json:"id"`
	Body   string    `json:"body"` // sealed
	At     time.Time `json:"at"`
}

// outcome is an answer's body.
type outcome struct {
	Value   json.RawMessage `json:"value,omitempty"`
	Code    fault.Code      `json:"code,omitempty"`
	Message string          `json:"message,omitempty"`
	Next    string          `json:"next,omitempty"`
}

// Options are what a Desk is made with.
type Options struct {
	Store   store.Store
	Book    *record.Book
	Keyring *keyring.Keyring
	Opener  vault.Opener
	Self    string       // this daemon: rpl_…
	Leads   func() bool  // whether questions for Leader are for this daemon; nil: never
	Trust   func() error // what is wrong with the store (vault.Vault.Distrusted): nothing is carried out then; nil: nothing is
	Clock   func() time.Time
	Log     *slog.Logger
}

// Handler does what a question asks for. An error that is no fault is told as internal.
type Handler func(ctx context.Context, body json.RawMessage) (any, error)

// Desk asks other daemons and answers them. Its methods may be called by many goroutines; Handle before Run, and Run once.
type Desk struct {
	o         Options
	questions *record.Set[question]
	answers   *record.Set[answer]
	handlers  map[string]Handler

	mu    sync.Mutex
	taken map[string]struct{}  // questions under way here, by id
	done  map[string]time.Time // those that were carried out, and when: a row that is put back is none
	wait  sync.WaitGroup
}

// New makes a Desk.
func New(o Options) *Desk {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Trust == nil {
		o.Trust = func() error { return nil }
	}
	if o.Leads == nil {
		o.Leads = func() bool { return false }
	}
	return &Desk{
		o: o, questions: record.NewSet[question](o.Book, Questions), answers: record.NewSet[answer](o.Book, Answers), handlers: map[string]Handler{}, taken: map[string]struct{}{}, done: map[string]time.Time{},
	}
}

// Handle says who does what.
func (d *Desk) Handle(what string, h Handler) { d.handlers[what] = h }

// Ask has another daemon do what, and gives its answer in out, which may be nil. It waits for ten seconds, or as long as ctx says. Errors: those of who did it; daemon_unavailable where nobody took it within ten seconds, or answered
// in time: then nobody knows whether it was done. That wraps ErrSilent where the store was there to the end.
func (d *Desk) Ask(ctx context.Context, to, what string, in, out any) error {
	wait := patience
	if end, has := ctx.Deadline(); has {
		wait = min(time.Until(end), longest)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	q := question{Format: 1, ID: id.New(id.Errand), To: to, From: d.o.Self, What: what, At: d.o.Clock().UTC(), Wait: wait.Milliseconds()}
	notices := d.o.Store.Watch(ctx) // before it is asked: no answer is missed
	err = d.update(ctx, func(tx store.Tx) (err error) {
		if q.Body, err = d.seal("question", q.ID, body); err != nil {
			return err
		}
		return d.questions.Put(tx, q.key(), q)
	})
	if err != nil {
		return err
	}
	a, err := d.await(ctx, q, notices)
	if err != nil {
		return err
	}
	raw, err := d.open("answer", q.ID, a.Body)
	if err != nil {
		return err
	}
	var o outcome
	if err := json.Unmarshal(raw, &o); err != nil {
		return err
	}
	if o.Code != "" {
		return fault.New(o.Code, o.Message, o.Next)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(o.Value, out)
}

// await waits for the answer and takes it, or takes the question back.
func (d *Desk) await(ctx context.Context, q question, notices <-chan store.Change) (a answer, err error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	begun := time.Now()
	for {
		select {
		case n, open := <-notices:
			if open && (n.Collection != Answers || n.Key != "" && n.Key != q.ID) {
				continue
			}
			if !open {
				notices = nil
			}
		case <-tick.C:
		case <-ctx.Done():
			return a, d.silent(ctx, q)
		}
		taken := false
		err = d.view(ctx, func(tx store.Tx) (err error) {
			if a, err = d.answers.Get(tx, q.ID); !errors.Is(err, store.ErrNotFound) {
				return err
			}
			now, err := d.questions.Get(tx, q.key())
			taken = now.Taken
			if errors.Is(err, store.ErrNotFound) {
				err = nil
			}
			return errors.Join(err, errNotYet)
		})
		switch {
		case err == nil:
			if err := d.tidy(ctx, func(tx store.Tx) error { return d.answers.Delete(tx, q.ID) }); err != nil {
				d.o.Log.Warn("an answer stays for a while", "what", q.What, "cause", fault.Cause(err))
			}
			return a, nil
		case ctx.Err() != nil:
		case !errors.Is(err, errNotYet):
			_ = d.recall(ctx, q)
			return a, err
		case !taken && time.Since(begun) > patience:
			return a, d.silent(ctx, q)
		}
	}
}

// ErrSilent is what an error of Ask wraps where nobody answered, though the store does.
var ErrSilent = errors.New("errand: nobody answered")

var (
	errNotYet = errors.New("errand: no answer yet")
	errSilent = fault.New(fault.DaemonUnavailable, "the daemon of this vault that it is for does not answer", "try again in a moment; `zavhoz status` lists the daemons").Because(ErrSilent)
	errLost   = fault.New(fault.DaemonUnavailable, "the vault's database went away while another daemon was asked: whether it was done is not known", "try again in a moment; `zavhoz doctor` says more")
)

// silent takes back a question that nobody answered, and says whose silence it was: of a store that does not take it back nobody knows whether it carried anything.
func (d *Desk) silent(ctx context.Context, q question) error {
	if err := d.recall(ctx, q); err != nil {
		return errLost.Because(err)
	}
	return errSilent
}

// recall takes back a question that nobody waits for any more: what is carried out of it finds nobody to tell.
func (d *Desk) recall(ctx context.Context, q question) error {
	err := d.tidy(ctx, func(tx store.Tx) error {
		return errors.Join(d.questions.Delete(tx, q.key()), d.answers.Delete(tx, q.ID))
	})
	if err != nil {
		d.o.Log.Warn("a question could not be taken back", "what", q.What, "cause", fault.Cause(err))
	}
	return err
}

// tidy updates the store within a short time of its own: ctx may be over.
func (d *Desk) tidy(ctx context.Context, fn func(store.Tx) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
	defer cancel()
	return d.update(ctx, fn)
}

func (q question) key() string { return q.To + "/" + q.ID }

func (d *Desk) view(ctx context.Context, fn func(store.Tx) error) error {
	return vault.StoreFault(d.o.Store.View(ctx, fn))
}

func (d *Desk) update(ctx context.Context, fn func(store.Tx) error) error {
	return vault.StoreFault(d.o.Store.Update(ctx, fn))
}

func ref(kind, of string) keyring.Ref {
	return keyring.Ref{Type: "errand", ID: of, Field: kind, Version: 1}
}

// seal seals a body. The text is kept without what sealed values begin with: it is gone before a rotation of the data key ends, which must not look for it.
func (d *Desk) seal(kind, of string, body []byte) (string, error) {
	s := secret.New(body)
	defer s.Wipe()
	text, err := d.o.Keyring.Seal(ref(kind, of), s)
	return strings.TrimPrefix(text, keyring.Prefix), err
}

func (d *Desk) open(kind, of, text string) (json.RawMessage, error) {
	s, err := d.o.Opener.Open(ref(kind, of), keyring.Prefix+text)
	if err != nil {
		return nil, err
	}
	defer s.Wipe()
	return append(json.RawMessage(nil), s.Reveal()...), nil
}
