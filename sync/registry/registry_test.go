package registry_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/sync"
	"github.com/zavhoz/zavhoz/sync/registry"
	"github.com/zavhoz/zavhoz/sync/time4vps"
	"github.com/zavhoz/zavhoz/sync/time4vps/time4vpstest"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// house is everything real but the provider: store, keyring, vault, registry, reconciler, HTTP.
type house struct {
	v      *vault.Vault
	opener *open.Opener
	file   string
	sim    *time4vpstest.Sim
	client *time4vps.Client
	r      *sync.Reconciler
	clock  atomic.Int64 // unix seconds: the vault reads it from goroutines of its own
	policy sync.Policy
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func newHouse(tb testing.TB, edit ...func(*sync.Options)) *house {
	tb.Helper()
	ident, err := age.GenerateX25519Identity()
	must(tb, err)
	k, _, err := keyring.Create([]age.Recipient{ident.Recipient()})
	must(tb, err)
	h := &house{opener: open.New(k), file: filepath.Join(tb.TempDir(), "vault.db"), sim: time4vpstest.New()}
	h.clock.Store(time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC).Unix())
	clock := func() time.Time { return time.Unix(h.clock.Load(), 0) }
	st, err := bolt.Create(tb.Context(), bolt.Options{Path: h.file})
	must(tb, err)
	h.v, err = vault.Open(tb.Context(), vault.Options{Store: st, Keyring: k, Opener: h.opener, Clock: clock})
	must(tb, err)
	must(tb, h.v.Setup(tb.Context()))
	running, err := h.sim.Start()
	must(tb, err)
	h.client, err = time4vps.New(time4vps.Options{BaseURL: running.URL, Credentials: func(context.Context) (string, secret.Secret, error) {
		return time4vpstest.User, secret.FromString(time4vpstest.Password), nil
	}})
	must(tb, err)
	o := sync.Options{Provider: time4vps.Provider{Client: h.client}, Registry: registry.New(h.v), Clock: clock, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Policy: func(context.Context) (sync.Policy, error) { return h.policy, nil }}
	for _, fn := range edit {
		fn(&o)
	}
	h.r = sync.NewReconciler(o)
	tb.Cleanup(func() {
		h.client.Close()
		running.Close()
		must(tb, h.v.Close(context.Background()))
		must(tb, st.Close())
		k.Close()
	})
	return h
}

func (h *house) cycle(tb testing.TB) sync.Report {
	tb.Helper()
	h.clock.Add(60)
	rep := h.r.Cycle(context.Background())
	if !rep.OK {
		tb.Fatal(rep.Err())
	}
	return rep
}

func (h *house) server(t *testing.T, providerID string) vault.ServerView {
	t.Helper()
	all, err := h.v.Servers(t.Context(), vault.OperatorActor())
	must(t, err)
	for _, s := range all {
		if s.ProviderID == providerID {
			return s
		}
	}
	t.Fatalf("there is no server %s", providerID)
	return vault.ServerView{}
}

func TestACycleIsInTheVault(t *testing.T) {
	h := newHouse(t)
	h.sim.Populate(10)
	h.cycle(t)
	s := h.server(t, "300001")
	if s.Status != "discovered" || s.IsManaged || s.RAMMB != 4096 || s.Intent != "auto" || s.Version != 1 {
		t.Errorf("%+v", s.Server)
	}
	ip, err := h.opener.Open(s.FieldRef("ip"), s.Sealed["ip"].Value)
	must(t, err)
	if !ip.Equal(secret.FromString("198.18.0.1")) {
		t.Error("not the address")
	}
	// The address moves; the domain stays sealed as it was.
	h.sim.Edit(300001, func(s *time4vpstest.Server) { s.IP = "203.0.113.77" })
	h.cycle(t)
	s = h.server(t, "300001")
	ip, err = h.opener.Open(s.FieldRef("ip"), s.Sealed["ip"].Value)
	must(t, err)
	name, err := h.opener.Open(s.FieldRef("domain"), s.Sealed["domain"].Value)
	must(t, err)
	if !ip.Equal(secret.FromString("203.0.113.77")) || !name.Equal(secret.FromString("host-300001.example.net")) {
		t.Error("addresses after a move")
	}
	must(t, h.v.Verify(t.Context()))
}

func TestTheOperatorsWordOutlivesCycles(t *testing.T) {
	h := newHouse(t)
	h.sim.Populate(10)
	h.cycle(t)
	_, err := h.v.ManageServer(t.Context(), vault.OperatorActor(), h.server(t, "300001").ID, "yes")
	must(t, err)
	h.cycle(t)
	if s := h.server(t, "300001"); !s.IsManaged || s.Intent != "yes" {
		t.Errorf("%+v", s.Server)
	}
	h.policy.Ghosts = []string{"198.18.0.1"}
	h.cycle(t)
	if s := h.server(t, "300001"); s.IsManaged || !s.Ghost || s.Intent != "yes" {
		t.Errorf("%+v", s.Server)
	}
	h.sim.Remove(300001)
	for range 3 {
		h.cycle(t)
	}
	if s := h.server(t, "300001"); s.Status != "missing" || s.StatusWas != "discovered" || s.IsManaged {
		t.Errorf("%+v", s.Server)
	}
	must(t, h.v.Verify(t.Context()))
}

func TestQuietCyclesLeaveNoRecord(t *testing.T) {
	h := newHouse(t)
	h.sim.Populate(3)
	count := func() int {
		log, st := h.v.Audit()
		rep, err := log.Verify(t.Context(), st)
		must(t, err)
		return int(rep.Records)
	}
	h.cycle(t)
	was := count()
	for range 3 {
		h.cycle(t)
	}
	if n := count(); n != was {
		t.Errorf("%d audit records of cycles that changed nothing", n-was)
	}
}

func TestNothingOfTheAccountIsInTheFile(t *testing.T) {
	h := newHouse(t)
	h.sim.Populate(20)
	for range 6 {
		h.cycle(t)
	}
	b, err := os.ReadFile(h.file)
	must(t, err)
	for _, hidden := range append(h.sim.Passwords(), "198.18.0.", "example.net", "rootpw-", "last_tasks", time4vpstest.User) {
		if strings.Contains(string(b), hidden) {
			t.Errorf("%q is in the vault's file", hidden)
		}
	}
}

// withoutDetails is the provider whose details are never asked for: 10,000 calls of them would hide what is measured.
type withoutDetails struct{ sync.Provider }

func (withoutDetails) Details(context.Context, string) (sync.Details, error) {
	return sync.Details{}, nil
}

// BenchmarkVaultOfTenThousand shows a cycle over the real vault (bbolt, sealed, MACs, one durable transaction) beside the HTTP fetch alone, in one run.
func BenchmarkVaultOfTenThousand(b *testing.B) {
	const many = 10_000
	h := newHouse(b, func(o *sync.Options) { o.Provider, o.DetailsEvery = withoutDetails{o.Provider}, 1000*time.Hour })
	h.sim.Populate(many)
	b.Run("fetch", func(b *testing.B) {
		for b.Loop() {
			list, err := h.client.List(b.Context())
			if err != nil || len(list) != many {
				b.Fatal(err)
			}
		}
	})
	start := time.Now()
	h.cycle(b)
	first := time.Since(start)
	b.Run("quiet", func(b *testing.B) {
		for b.Loop() {
			h.cycle(b)
		}
		b.ReportMetric(float64(first.Nanoseconds()), "first-cycle-ns")
	})
	b.Run("flipped", func(b *testing.B) { // every row is written: sides change
		for b.Loop() {
			h.policy.AutoManage = !h.policy.AutoManage
			h.cycle(b)
		}
	})
}
