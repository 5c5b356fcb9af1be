package sync_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/sync"
	"github.com/zavhoz/zavhoz/sync/time4vps"
)

const many = 10_000

// withoutDetails is the provider whose details are never asked for: 10,000 calls of them would hide what is measured.
type withoutDetails struct{ sync.Provider }

func (withoutDetails) Details(context.Context, string) (sync.Details, error) {
	return sync.Details{}, nil
}

func manyServers(tb testing.TB) *house {
	h := newHouse(tb, func(o *sync.Options) {
		o.Provider, o.Log, o.DetailsEvery = withoutDetails{o.Provider}, slog.New(slog.DiscardHandler), 1000*time.Hour
	})
	h.sim.Populate(many)
	return h
}

func TestTenThousandServersInOneTransaction(t *testing.T) {
	h := manyServers(t)
	if rep := h.ok(); rep.New != many || h.reg.txs != 1 {
		t.Errorf("%d transactions, %+v", h.reg.txs, rep)
	}
	writes := h.reg.writes
	h.ok()
	if h.reg.writes != writes || h.reg.txs != 2 {
		t.Errorf("a quiet cycle: %d rows, %d transactions", h.reg.writes-writes, h.reg.txs-1)
	}
}

// BenchmarkTenThousand shows a cycle beside the HTTP fetch that it begins with, in one run: fetch is the client alone (HTTP and decoding), first is a
// cycle that makes every row, quiet one that finds nothing new, moved one that finds a new address for every row.
func BenchmarkTenThousand(b *testing.B) {
	h := manyServers(b)
	cycle := func(b *testing.B) {
		if rep := h.r.Cycle(b.Context()); !rep.OK {
			b.Fatal(rep.Err())
		}
	}
	b.Run("fetch", func(b *testing.B) {
		for b.Loop() {
			if list, err := (time4vps.Provider{Client: h.client}).List(b.Context()); err != nil || len(list) != many {
				b.Fatal(err)
			}
		}
	})
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			clear(h.reg.rows)
			clear(h.reg.owner)
			clear(h.reg.state)
			clear(h.reg.sealed)
			b.StartTimer()
			cycle(b)
		}
	})
	b.Run("quiet", func(b *testing.B) {
		cycle(b)
		for b.Loop() {
			cycle(b)
		}
	})
	b.Run("moved", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			for id, r := range h.reg.rows {
				r.Prints = map[string]string{sync.FieldIP: "old", sync.FieldDomain: "old"}
				h.reg.rows[id] = r
			}
			b.StartTimer()
			cycle(b)
		}
	})
}
