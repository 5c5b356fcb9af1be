package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/zavhoz/zavhoz/sync"
	"github.com/zavhoz/zavhoz/sync/registry"
	"github.com/zavhoz/zavhoz/sync/time4vps"
	"github.com/zavhoz/zavhoz/sync/time4vps/time4vpstest"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// manyServers is how many a provider lists.
const manyServers = 10_000

// listOnly is the provider without its calls for one server: ten thousand of them would hide what is measured.
type listOnly struct{ sync.Provider }

// Details has nothing to say.
func (listOnly) Details(context.Context, string) (sync.Details, error) { return sync.Details{}, nil }

// reconcile measures a sync of ten thousand servers into the vault, in one transaction and an empty vault, beside the fetch over HTTP that it begins with: the first one,
// which makes every row, and one in which nothing is new.
func reconcile(ctx context.Context, b *bench) ([]Row, error) {
	sim := time4vpstest.New()
	defer sim.Close()
	sim.Populate(manyServers)
	running, err := sim.Start()
	if err != nil {
		return nil, err
	}
	defer running.Close()
	client, err := simClient(running, sim)
	if err != nil {
		return nil, err
	}
	provider := time4vps.Provider{Client: client}
	var h *house
	cycle := func() error {
		r := sync.NewReconciler(sync.Options{Provider: listOnly{provider}, Registry: registry.New(h.Vault), Log: slog.New(slog.DiscardHandler), DetailsEvery: 1000 * time.Hour})
		if rep := r.Cycle(ctx); !rep.OK {
			return rep.Err()
		}
		return nil
	}
	n := 0
	got, err := turns(b.rounds(6),
		millis(func() error {
			list, err := provider.List(ctx)
			if err == nil && len(list) != manyServers {
				err = fmt.Errorf("%d servers", len(list))
			}
			return err
		}),
		func() (ms float64, err error) {
			n++
			if h, err = b.house(ctx, fmt.Sprintf("sync%d", n), 0); err != nil {
				return 0, err
			}
			return millis(cycle)()
		},
		func() (ms float64, err error) {
			ms, err = millis(cycle)()
			return ms, errors.Join(err, h.close(ctx))
		})
	if err != nil {
		return nil, err
	}
	return []Row{
		Row{What: "sync of 10,000 servers, all new, beside the fetch alone", Floor: got[0], Ours: got[1], Unit: "ms"}.ratio(1, "×"),
		Row{What: "sync of 10,000 servers, nothing new, beside the fetch alone", Floor: got[0], Ours: got[2], Unit: "ms"}.ratio(1, "×"),
	}, nil
}

func millis(fn func() error) func() (float64, error) {
	return func() (float64, error) {
		us, err := micros(fn)()
		return us / 1e3, err
	}
}

func simClient(r *time4vpstest.Running, sim *time4vpstest.Sim) (*time4vps.Client, error) {
	const user = "bench"
	password := newSecret()
	sim.SetLogin(user, password)
	return time4vps.New(time4vps.Options{
		BaseURL:     r.URL,
		Credentials: func(context.Context) (string, secret.Secret, error) { return user, secret.FromString(password), nil },
	})
}
