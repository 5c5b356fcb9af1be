package sync_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/sync"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// FuzzCycles plays a script of provider, operator and health events, and holds after every cycle what must hold whatever happens.
func FuzzCycles(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x10\x20\x30\x41\x52\x63\x74\x85\x96\xa7"))
	f.Add([]byte{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x80, 0x10, 0x11, 0x12, 0x13, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0x30, 0x80, 0x40, 0x80, 0x50, 0x80})
	f.Add([]byte("adoption and ghosts \x60\x61\x70\x71\x80\x80\x90\x80\xa0\x80\x80"))
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 300 {
			return
		}
		listed, reg := map[string]string{}, NewMemoryRegistry()
		reg.put("", sync.Row{ID: "srv_by_hand", ProviderID: "1", Status: sync.Active, IsManaged: true})
		var policy sync.Policy
		down := false
		now := time.Unix(1_800_000_000, 0)
		p := &fake{list: func(context.Context) ([]sync.Observed, error) {
			if down {
				return nil, errors.New("down")
			}
			var list []sync.Observed
			for id, ip := range listed {
				list = append(list, sync.Observed{ProviderID: id, IP: secret.FromString(ip)})
			}
			return list, nil
		}}
		r := sync.NewReconciler(sync.Options{Provider: gone{p}, Registry: reg, Clock: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Policy: func(context.Context) (sync.Policy, error) { return policy, nil }})
		for _, b := range script {
			id := fmt.Sprint(b&0x0f + 1)
			switch b >> 4 {
			case 0:
				listed[id] = "198.18.0." + id
			case 1:
				delete(listed, id)
			case 2:
				if _, ok := listed[id]; ok {
					listed[id] = "198.18.1." + id
				}
			case 3:
				policy.Ghosts = append(policy.Ghosts, id)
			case 4:
				policy.Ghosts = []string{"198.18.0." + id}
			case 5:
				policy.AutoManage = !policy.AutoManage
			case 6:
				mark(reg, id, func(r *sync.Row) { r.Intent = sync.Yes })
			case 7:
				mark(reg, id, func(r *sync.Row) { r.Status = sync.Unreachable })
			case 9:
				down = !down
			case 10:
				clear(listed)
			default:
				before := maps.Clone(reg.rows)
				now = now.Add(time.Minute)
				invariants(t, reg, before, r.Cycle(context.Background()), policy)
			}
		}
	})
}

// gone says of every absent server that it is deleted.
type gone struct{ *fake }

func (gone) Lifecycle(context.Context, string) (sync.Lifecycle, error) {
	return sync.LifecycleDeleted, nil
}

func mark(reg *MemoryRegistry, id string, fn func(*sync.Row)) {
	for rid, r := range reg.rows {
		if r.ProviderID == id && reg.owner[rid] == "fake" {
			fn(&r)
			r.Version++
			reg.rows[rid] = r
		}
	}
}

func invariants(t *testing.T, reg *MemoryRegistry, before map[string]sync.Row, rep sync.Report, policy sync.Policy) {
	t.Helper()
	if !rep.Applied && fmt.Sprint(before) != fmt.Sprint(reg.rows) {
		t.Fatal("a failed cycle changed rows")
	}
	ghosts := map[string]bool{}
	for _, g := range policy.Ghosts {
		ghosts[g] = true
	}
	ids := map[string]bool{}
	for rid, r := range reg.rows {
		was, old := before[rid]
		if reg.owner[rid] != "fake" {
			if fmt.Sprint(was) != fmt.Sprint(r) {
				t.Fatal("a row of another was changed")
			}
			continue
		}
		if ids[r.ProviderID] {
			t.Fatal("two rows of one server")
		}
		ids[r.ProviderID] = true
		if rep.Applied && ghosts[r.ProviderID] && r.IsManaged {
			t.Fatal("a ghost is managed")
		}
		if rep.Applied && r.IsManaged && r.Intent != sync.Yes && !policy.AutoManage {
			t.Fatal("managed, and nobody said so")
		}
		if old && was.Status == sync.Unreachable && r.Status != sync.Unreachable && r.Status != sync.Missing {
			t.Fatalf("unreachable became %s", r.Status)
		}
		if r.Status == sync.Missing && old && was.Status != sync.Missing && r.Absent < 3 {
			t.Fatal("missing without grace")
		}
		if !old && r.Status != sync.Discovered && r.Status != sync.New {
			t.Fatalf("a new row is %s", r.Status)
		}
	}
	for rid := range before {
		if _, ok := reg.rows[rid]; !ok {
			t.Fatal("a row was lost")
		}
	}
}
