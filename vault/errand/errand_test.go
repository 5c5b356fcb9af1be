package errand_test

import (
	"context"
	"encoding/json"
	"errors"
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
func (h *house) desk(self string, leads bool) *errand.Desk {
	h.t.Helper()
	k, err := keyring.Unlock(h.header, []age.Identity{h.id})
	vaulttest.Must(h.t, err)
	return errand.New(errand.Options{Store: h.st, Book: record.NewBook(k), Keyring: k, Opener: open.New(k), Self: self, Leads: func() bool { return leads }})
}

// serve runs a desk until the test ends.
func (h *house) serve(d *errand.Desk) {
	ctx, stop := context.WithCancel(h.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	h.t.Cleanup(func() { stop(); <-done })
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

// TestNobodyAnswers: who asks a daemon that is gone, or a leader where nobody leads, is told in time, and takes the question back.
func TestNobodyAnswers(t *testing.T) {
	h := newHouse(t)
	a, b := h.desk("rpl_a", false), h.desk("rpl_b", false)
	h.serve(b)
	for _, to := range []string{"rpl_gone", errand.Leader} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		vaulttest.WantCode(t, a.Ask(ctx, to, "echo", canary, nil), fault.DaemonUnavailable)
		cancel()
	}
	if n := h.rows(); n != 0 {
		t.Errorf("%d rows are left", n)
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

// TestAttack57_AnEditedErrandIsNone: who writes the store without the keys asks nothing and answers nothing.
func TestAttack57_AnEditedErrandIsNone(t *testing.T) {
	h := newHouse(t)
	a, b := h.desk("rpl_a", false), h.desk("rpl_b", false)
	var done atomic.Int32
	b.Handle("echo", func(ctx context.Context, body json.RawMessage) (any, error) { done.Add(1); return echo(ctx, body) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	edited := make(chan struct{})
	go func() { // between question and answer: the row is another daemon's, moved
		defer close(edited)
		for ctx.Err() == nil {
			moved := false
			_ = h.st.Update(ctx, func(tx store.Tx) error {
				return tx.Scan(errand.Questions, "rpl_gone/", "", func(key string, v []byte) (bool, error) {
					moved = true
					return false, nil
				})
			})
			if !moved {
				continue
			}
			vaulttest.Must(t, h.st.Update(t.Context(), func(tx store.Tx) error {
				var key string
				var row []byte
				if err := tx.Scan(errand.Questions, "rpl_gone/", "", func(k string, v []byte) (bool, error) { key, row = k, v; return false, nil }); err != nil || key == "" {
					return err
				}
				return tx.Put(errand.Questions, "rpl_b/"+strings.TrimPrefix(key, "rpl_gone/"), row)
			}))
			return
		}
	}()
	h.serve(b)
	vaulttest.WantCode(t, a.Ask(ctx, "rpl_gone", "echo", canary, nil), fault.DaemonUnavailable)
	<-edited
	time.Sleep(1200 * time.Millisecond) // longer than a desk waits between two looks
	if done.Load() != 0 {
		t.Error("a question that was moved was carried out")
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
	h.serve(b)
	vaulttest.Must(t, <-answered)
	soon, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	go func() { answered <- a.Ask(soon, "rpl_gone", "count", canary, nil) }()
	other, _ := h.question("rpl_gone/") // in whose place it is put: as many rows as there were
	vaulttest.Must(t, h.st.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.Delete(errand.Questions, other), tx.Put(errand.Questions, key, row))
	}))
	time.Sleep(1200 * time.Millisecond) // longer than a desk waits between two looks
	if n := done.Load(); n != 1 {
		t.Errorf("carried out %d times", n)
	}
	if err := <-answered; err == nil {
		t.Error("nobody answered, and all is well")
	}
}
