package errand_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/errand"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/record"
	"github.com/zavhoz/zavhoz/vault/vaulttest"
)

// house is a store that desks share, each with a book and keys of its own, as processes have.
type house struct {
	t      *testing.T
	st     store.Store
	header []byte
	id     age.Identity
}

func newHouse(t *testing.T) *house {
	id, err := age.GenerateX25519Identity()
	vaulttest.Must(t, err)
	k, header, err := keyring.Create([]age.Recipient{id.Recipient()})
	vaulttest.Must(t, err)
	st, err := bolt.Create(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db")})
	vaulttest.Must(t, err)
	t.Cleanup(func() { _ = st.Close() })
	vaulttest.Must(t, vault.PutHeader(t.Context(), st, header))
	v, err := vault.Open(t.Context(), vault.Options{Store: st, Keyring: k})
	vaulttest.Must(t, err)
	vaulttest.Must(t, v.Setup(t.Context()))
	vaulttest.Must(t, v.Close(t.Context()))
	return &house{t, st, header, id}
}

// desk is one daemon's.
func (h *house) desk(self string, leads bool, change ...func(*errand.Options)) *errand.Desk {
	h.t.Helper()
	k, err := keyring.Unlock(h.header, []age.Identity{h.id})
	vaulttest.Must(h.t, err)
	o := errand.Options{Store: h.st, Book: record.NewBook(k), Keyring: k, Opener: open.New(k), Self: self, Leads: func() bool { return leads }}
	for _, c := range change {
		c(&o)
	}
	return errand.New(o)
}

// serve runs a desk until the test ends, or end is called: then nothing of it is under way.
func (h *house) serve(d *errand.Desk) (end func()) {
	ctx, stop := context.WithCancel(h.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	end = func() { stop(); <-done }
	h.t.Cleanup(end)
	return end
}

// between stands before a store's changes.
type between struct {
	store.Store
	update func(ctx context.Context, do func() error) error
}

func (b between) Update(ctx context.Context, fn func(store.Tx) error) error {
	return b.update(ctx, func() error { return b.Store.Update(ctx, fn) })
}

const canary = "the-canary-of-an-errand"

func echo(_ context.Context, body json.RawMessage) (any, error) {
	var s string
	err := json.Unmarshal(body, &s)
	return s + s, err
}

// TestAsked: a question is answered by whom it is for, and nothing of either is in the store in clear, or at all afterwards.
func TestAsked(t *testing.T) {
	h := newHouse(t)
	a, b, c := h.desk("rpl_a", false), h.desk("rpl_b", false), h.desk("rpl_c", true)
	for _, d := range []*errand.Desk{b, c} {
		d.Handle("echo", echo)
		d.Handle("fail", func(context.Context, json.RawMessage) (any, error) {
			return nil, fault.New(fault.UnknownRun, "there is none", "look again")
		})
		h.serve(d)
	}
	c.Handle("who", func(context.Context, json.RawMessage) (any, error) { return "c", nil })
	stop, looked := make(chan struct{}), make(chan int)
	go func() { looked <- h.look(stop) }()
	for range 20 {
		var got string
		vaulttest.Must(t, a.Ask(t.Context(), "rpl_b", "echo", canary, &got))
		if got != canary+canary {
			t.Fatalf("answered %q", got)
		}
	}
	close(stop)
	if n := <-looked; n == 0 {
		t.Error("no errand was seen in the store: the look for values proves nothing")
	}
	var who string
	vaulttest.Must(t, a.Ask(t.Context(), errand.Leader, "who", nil, &who))
	err := a.Ask(t.Context(), "rpl_b", "fail", nil, nil)
	vaulttest.WantCode(t, err, fault.UnknownRun)
	if f := fault.Of(err); who != "c" || f.Message != "there is none" || f.Next != "look again" {
		t.Errorf("%q; %v", who, f)
	}
	vaulttest.WantCode(t, a.Ask(t.Context(), "rpl_b", "unheard of", nil, nil), fault.NotSupported)
	if n := h.rows(); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// look reads every row of errands until stop, and gives how many it saw.
func (h *house) look(stop <-chan struct{}) (n int) {
	for {
		_ = h.st.View(context.Background(), func(tx store.Tx) error {
			for _, c := range []store.Collection{errand.Questions, errand.Answers} {
				_ = tx.Scan(c, "", "", func(_ string, v []byte) (bool, error) {
					if n++; strings.Contains(string(v), canary) {
						h.t.Error("a row holds a value")
					}
					return true, nil
				})
			}
			return nil
		})
		select {
		case <-stop:
			return n
		default:
		}
	}
}

func (h *house) rows() int {
	stop := make(chan struct{})
	close(stop)
	return h.look(stop)
}

// TestNobodyAnswers: who asks a daemon that is gone, or a leader where nobody leads, is told so when their time is over, and takes the question back. Where the store does not take it back, it is not that daemon that was silent.
func TestNobodyAnswers(t *testing.T) {
	h := newHouse(t)
	var dead atomic.Bool
	written := make(chan struct{}, 1)
	a := h.desk("rpl_a", false, func(o *errand.Options) {
		o.Store = between{h.st, func(_ context.Context, do func() error) error {
			if dead.Load() {
				return store.ErrUnavailable
			}
			err := do()
			select {
			case written <- struct{}{}:
			default: // taken back
			}
			return err
		}}
	})
	h.serve(h.desk("rpl_b", false))
	for _, dies := range []bool{false, true} {
		for _, to := range []string{"rpl_gone", errand.Leader} {
			ctx, over := context.WithCancel(t.Context())
			told := make(chan error, 1)
			go func() { told <- a.Ask(ctx, to, "echo", canary, nil) }()
			<-written
			dead.Store(dies)
			over()
			err := <-told
			vaulttest.WantCode(t, err, fault.DaemonUnavailable)
			if errors.Is(err, errand.ErrSilent) == dies {
				t.Errorf("%s, the store dies: %t: %v", to, dies, err)
			}
			dead.Store(false)
			select {
			case <-written: // taken back
			default:
			}
		}
		if n := h.rows(); (n != 0) != dies {
			t.Errorf("the store dies: %t: %d rows are left", dies, n)
		}
	}
}

// TestWhoHasTheAnswerGoesOnSoon: what takes it out of the store has a short time of its own, also where the asker's is long, or over.
func TestWhoHasTheAnswerGoesOnSoon(t *testing.T) {
	h := newHouse(t)
	var changes atomic.Int32
	a := h.desk("rpl_a", false, func(o *errand.Options) {
		o.Store = between{h.st, func(ctx context.Context, do func() error) error {
			if end, bound := ctx.Deadline(); changes.Add(1) == 2 && (!bound || time.Until(end) > 5*time.Second) {
				t.Errorf("until %v, %t", end, bound)
			}
			return do()
		}}
	})
	b := h.desk("rpl_b", false)
	b.Handle("echo", echo)
	h.serve(b)
	vaulttest.Must(t, a.Ask(t.Context(), "rpl_b", "echo", canary, nil))
	if n := changes.Load(); n != 2 {
		t.Errorf("%d changes: what was looked at is something else", n)
	}
}

// TestAtMostOnce: two daemons that both take themselves for the leader do not both do what is asked, and a question that took too long is done once.
func TestAtMostOnce(t *testing.T) {
	h := newHouse(t)
	a := h.desk("rpl_a", false)
	var done atomic.Int32
	for _, name := range []string{"rpl_b", "rpl_c"} {
		d := h.desk(name, true)
		d.Handle("count", func(ctx context.Context, _ json.RawMessage) (any, error) { return done.Add(1), nil })
		d.Handle("stay", func(ctx context.Context, _ json.RawMessage) (any, error) { <-ctx.Done(); return nil, ctx.Err() })
		h.serve(d)
	}
	for range 30 {
		vaulttest.Must(t, a.Ask(t.Context(), errand.Leader, "count", nil, nil))
	}
	if n := done.Load(); n != 30 {
		t.Errorf("30 questions were carried out %d times", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := a.Ask(ctx, "rpl_b", "stay", nil, nil); err == nil {
		t.Error("what does not end has an answer")
	}
}

// lines are what a desk logs.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	select {
	case l <- string(p):
	default: // it says it again
	}
	return len(p), nil
}

// TestAttack57_AnEditedErrandIsNone: who writes the store without the keys asks nothing and answers nothing.
func TestAttack57_AnEditedErrandIsNone(t *testing.T) {
	h := newHouse(t)
	log := make(lines, 16)
	a, b := h.desk("rpl_a", false), h.desk("rpl_b", false, func(o *errand.Options) { o.Log = slog.New(slog.NewTextHandler(log, nil)) })
	var done atomic.Int32
	b.Handle("echo", func(ctx context.Context, body json.RawMessage) (any, error) { done.Add(1); return echo(ctx, body) })
	ctx, over := context.WithCancel(t.Context())
	defer over()
	told := make(chan error, 1)
	go func() { told <- a.Ask(ctx, "rpl_gone", "echo", canary, nil) }()
	key, row := h.question("rpl_gone/")
	move := func(from, to string) {
		t.Helper()
		vaulttest.Must(t, h.st.Update(t.Context(), func(tx store.Tx) error {
			return errors.Join(tx.Delete(errand.Questions, from), tx.Put(errand.Questions, to, row))
		}))
	}
	moved := "rpl_b/" + strings.TrimPrefix(key, "rpl_gone/")
	move(key, moved) // as many rows as there were
	end := h.serve(b)
	for said := ""; !strings.Contains(said, string(fault.RecordTampered)); { // it has looked at it
		select {
		case said = <-log:
		case err := <-told:
			t.Fatalf("a question that was moved has an end before it was refused: %v", err)
		}
	}
	move(moved, key)
	over()
	vaulttest.WantCode(t, <-told, fault.DaemonUnavailable)
	vaulttest.Must(t, a.Ask(t.Context(), "rpl_b", "echo", canary, nil))
	end()
	if n := done.Load(); n != 1 {
		t.Errorf("beside a question that was moved, one was asked: %d were carried out", n)
	}
}

// question waits for one, and gives its row.
func (h *house) question(to string) (key string, row []byte) {
	h.t.Helper()
	for key == "" {
		vaulttest.Must(h.t, h.st.View(h.t.Context(), func(tx store.Tx) error {
			return tx.Scan(errand.Questions, to, "", func(k string, v []byte) (bool, error) { key, row = k, append([]byte(nil), v...); return false, nil })
		}))
	}
	return key, row
}

// TestAttack57_AQuestionIsNotCarriedOutAgain: a row that was answered, and is put back as it was, is nobody's question any more.
func TestAttack57_AQuestionIsNotCarriedOutAgain(t *testing.T) {
	h := newHouse(t)
	a, b := h.desk("rpl_a", false), h.desk("rpl_b", false)
	var done atomic.Int32
	b.Handle("count", func(context.Context, json.RawMessage) (any, error) { return done.Add(1), nil })
	answered := make(chan error, 1)
	go func() { answered <- a.Ask(t.Context(), "rpl_b", "count", canary, nil) }()
	key, row := h.question("rpl_b/")
	end := h.serve(b)
	vaulttest.Must(t, <-answered)
	ctx, over := context.WithCancel(t.Context())
	defer over()
	go func() { answered <- a.Ask(ctx, "rpl_gone", "count", canary, nil) }()
	other, _ := h.question("rpl_gone/") // in whose place it is put: as many rows as there were
	vaulttest.Must(t, h.st.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.Delete(errand.Questions, other), tx.Put(errand.Questions, key, row))
	}))
	vaulttest.Must(t, a.Ask(t.Context(), "rpl_b", "count", canary, nil)) // who took this one has looked at both
	end()
	if n := done.Load(); n != 2 {
		t.Errorf("two questions were carried out %d times", n)
	}
	over()
	if err := <-answered; err == nil {
		t.Error("nobody answered, and all is well")
	}
}
