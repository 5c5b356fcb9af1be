package vault

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/id"
)

// Times of daemons that share a vault. One that has not been heard of for SilentAfter is taken for dead: its runs are lost. No clock but the listener's own counts.
const (
	BeatEvery   = 4 * time.Second
	SilentAfter = 20 * time.Second
)

// Replica is one daemon of those that share a vault, for as long as it has the vault open.
type Replica struct {
	Format    int       `json:"format"` // 1
	ID        string    `json:"id"`     // rpl_…, of the process
	Host      string    `json:"host"`   // the machine's name, for people
	PID       int       `json:"pid"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	Beat      uint64    `json:"beat"` // grows while it lives
}

// NewReplica gives what this process is called among those that share a vault.
func NewReplica(host string, pid int, version string, now time.Time) Replica {
	return Replica{Format: 1, ID: id.New(id.Replica), Host: clip(host, 100), PID: pid, Version: clip(version, 100), StartedAt: now.UTC().Truncate(time.Second)}
}

// Self is this daemon's own; zero where it has the vault alone.
func (v *Vault) Self() Replica { return v.replica }

// Join says that this daemon has the vault open: before it starts a run. It passes a Gate that is waking.
func (v *Vault) Join(ctx context.Context) error { return v.Beat(waking(ctx)) }

// Beat says that this daemon lives, to be called every BeatEvery; alone it does nothing. One that was taken for dead is there again; what was lost of its runs it tells of itself, as they end.
func (v *Vault) Beat(ctx context.Context) error {
	if v.replica.ID == "" {
		return nil
	}
	return v.update(ctx, func(tx store.Tx) error {
		r, err := v.replicas.Get(tx, v.replica.ID)
		if err = ignoreNotFound(err); err != nil {
			return err
		}
		beat := r.Beat + 1
		r = v.replica
		r.Beat = beat
		return v.replicas.Put(tx, r.ID, r)
	})
}

// Leave says that this daemon has ended its runs and lets the vault go.
func (v *Vault) Leave(ctx context.Context) error {
	if v.replica.ID == "" {
		return nil
	}
	return v.update(ctx, func(tx store.Tx) error { return v.replicas.Delete(tx, v.replica.ID) })
}

// Replicas lists the daemons that have the vault open, or had when they were last heard of.
func (v *Vault) Replicas(ctx context.Context) (out []Replica, err error) {
	err = v.view(ctx, func(tx store.Tx) (err error) {
		out, err = v.allReplicas(tx)
		return err
	})
	return out, err
}

func (v *Vault) allReplicas(tx store.Tx) (out []Replica, err error) {
	err = v.replicas.Scan(tx, "", "", func(_ string, r Replica) (bool, error) {
		out = append(out, r)
		return true, nil
	})
	return out, err
}

// Roll is a leader's look at the daemons that share its vault: who fell silent, and what they left. It belongs to one goroutine.
type Roll struct {
	v       *Vault
	seen    map[string]sighting
	orphans map[string]struct{} // runs of nobody at the call before
	now     func() time.Time
}

// sighting is since when a daemon's beat is what it is.
type sighting struct {
	beat  uint64
	since time.Time
}

// NewRoll begins to look; nobody is silent yet. now is a clock that nobody sets back; nil: time.Now.
func (v *Vault) NewRoll(now func() time.Time) *Roll {
	if now == nil {
		now = time.Now
	}
	return &Roll{v: v, seen: map[string]sighting{}, now: now}
}

// Call takes who was silent for too long off the list, and marks as lost what at two calls in turn runs of daemons that are not on it. It tells how many those were. Where the store did not
// answer, or did not take this daemon's own beat, nobody could be heard: everybody's time begins anew.
func (r *Roll) Call(ctx context.Context) (lost int, err error) {
	var all []Replica
	var orphans []Run
	err = r.v.view(ctx, func(tx store.Tx) (err error) {
		if all, err = r.v.allReplicas(tx); err != nil {
			return err
		}
		orphans = nil
		return r.v.liveRuns.Scan(tx, "", "", func(key string, _ link) (bool, error) {
			run, err := r.v.runs.Get(tx, key)
			if err == nil && !slices.ContainsFunc(all, func(x Replica) bool { return x.ID == run.Owner }) {
				orphans = append(orphans, run)
			}
			return true, err
		})
	})
	if err != nil {
		clear(r.seen)
		return 0, err
	}
	before := r.orphans
	r.orphans = map[string]struct{}{}
	for _, run := range orphans {
		r.orphans[run.ID] = struct{}{}
		if _, again := before[run.ID]; !again { // whose daemon may be about to say that it lives
			continue
		}
		if err := r.v.lose(ctx, run); err != nil {
			return lost, err
		}
		lost++
	}
	return lost, r.strike(ctx, all)
}

// strike takes the silent off the list; their runs are orphans at the next call.
func (r *Roll) strike(ctx context.Context, all []Replica) error {
	now := r.now()
	own := slices.IndexFunc(all, func(x Replica) bool { return x.ID == r.v.replica.ID })
	if own < 0 || r.seen[all[own].ID].beat == all[own].Beat && now.Sub(r.seen[all[own].ID].since) >= BeatEvery*2 {
		clear(r.seen)
		return nil
	}
	maps.DeleteFunc(r.seen, func(id string, _ sighting) bool {
		return !slices.ContainsFunc(all, func(x Replica) bool { return x.ID == id })
	})
	var errs []error
	for _, x := range all {
		s, known := r.seen[x.ID]
		switch {
		case !known || s.beat != x.Beat:
			r.seen[x.ID] = sighting{x.Beat, now}
		case now.Sub(s.since) >= SilentAfter:
			errs = append(errs, r.v.update(ctx, func(tx store.Tx) error {
				is, err := r.v.replicas.Get(tx, x.ID)
				if err != nil || is.Beat != x.Beat {
					return ignoreNotFound(err)
				}
				return r.v.replicas.Delete(tx, x.ID)
			}))
		}
	}
	return errors.Join(errs...)
}
