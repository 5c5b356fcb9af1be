package vault

import (
	"context"
	"fmt"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// History lists the versions of a resource that are kept, newest first, the present one included.
func (v *Vault) History(ctx context.Context, ref string) (out []Version, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		out = nil
		r, err := v.byHandle(tx, ref)
		if err != nil {
			return err
		}
		all := []Resource{r}
		err = v.versions.ScanDown(tx, r.ID+"/", "", func(_ string, old Resource) (bool, error) {
			all = append(all, old)
			return true, nil
		})
		for i, x := range all {
			row := Version{Version: x.Version, UpdatedAt: x.UpdatedAt, UpdatedBy: x.UpdatedBy, Why: x.Why, Changed: []string{}}
			if i+1 < len(all) {
				row.Changed = append(row.Changed, changed(all[i+1], x)...)
			}
			out = append(out, row)
		}
		return err
	})
	return out, err
}

// RollbackResource makes an earlier version's attributes, secrets and labels present again, as a new version. The policy and the handle stay: going
// back must not widen what was narrowed since.
func (v *Vault) RollbackResource(ctx context.Context, actor Actor, ref string, version uint64, why string) (r Resource, err error) {
	if err := checkWhy(why); err != nil {
		return r, err
	}
	err = v.update(ctx, func(tx store.Tx) error {
		now, err := v.byHandle(tx, ref)
		if err != nil {
			return err
		}
		if err := v.refuseCrossed(tx, now); err != nil {
			return err
		}
		old, err := v.versions.Get(tx, versionKey(now.ID, version))
		if err != nil {
			return found(err, fault.Newf(fault.UnknownVersion, "version %d is not kept", version).WithNext("`zavhoz resource history %s` lists the versions", now.Handle))
		}
		r = now
		r.Attrs, r.Sealed, r.Labels = old.Attrs, old.Sealed, old.Labels
		if why == "" {
			why = fmt.Sprintf("rolled back to version %d", version)
		}
		if err := v.keep(tx, actor, now, &r, why); err != nil {
			return err
		}
		return v.audit.Append(tx, resourceEvent(actor, audit.ResourceRollback, r, map[string]string{"to": utoa(version)}))
	})
	return r, err
}

// Purge says which earlier versions go. Exactly one of its fields is set.
type Purge struct {
	All       bool
	Before    uint64        // those with a smaller number
	OlderThan time.Duration // those that were replaced longer ago than this
}

// check refuses a purge that names nothing, or several things.
func (p Purge) check() error {
	n := 0
	for _, given := range []bool{p.All, p.Before != 0, p.OlderThan != 0} {
		if given {
			n++
		}
	}
	if n != 1 || p.OlderThan < 0 {
		return fault.New(fault.InvalidArgument, "say which versions go: all, those before a version, or those replaced longer ago than a time", "see `zavhoz resource purge --help`")
	}
	return nil
}

// PurgeVersions removes earlier versions of a resource for good; the present one stays. It gives the resource and the numbers of what went. What a value looked
// like is forgotten with it: it is no longer masked in output, where it may still stand. Errors: unknown_resource, invalid_argument.
func (v *Vault) PurgeVersions(ctx context.Context, actor Actor, ref string, p Purge) (r Resource, gone []uint64, err error) {
	if err := p.check(); err != nil {
		return r, nil, err
	}
	err = v.update(ctx, func(tx store.Tx) error {
		if r, err = v.byHandle(tx, ref); err != nil {
			return err
		}
		now := v.now()
		gone, err = v.drop(tx, r.ID, func(x Resource, replaced time.Time) bool {
			if replaced.IsZero() {
				replaced = r.UpdatedAt
			}
			return p.All || x.Version < p.Before || p.OlderThan > 0 && now.Sub(replaced) > p.OlderThan
		})
		if err != nil {
			return err
		}
		if err := v.withUses(tx, &r); err != nil {
			return err
		}
		detail := map[string]string{"versions": utoa(uint64(len(gone)))}
		if len(gone) > 0 {
			detail["from"], detail["to"] = utoa(gone[0]), utoa(gone[len(gone)-1])
		}
		return v.audit.Append(tx, resourceEvent(actor, audit.ResourcePurge, r, detail))
	})
	return r, gone, err
}

// drop removes the kept versions of a resource that goes names, oldest first, and gives their numbers. goes is told when a version was replaced; the zero time for the
// last one, which the present one replaced. It stops at the first that stays: what is kept has no holes.
func (v *Vault) drop(tx store.Tx, rid string, goes func(x Resource, replaced time.Time) bool) (gone []uint64, err error) {
	var kept []Resource
	err = v.versions.Scan(tx, rid+"/", "", func(_ string, x Resource) (bool, error) {
		kept = append(kept, x)
		if n := len(kept); n > 1 && !goes(kept[n-2], x.UpdatedAt) {
			return false, nil
		}
		return true, nil
	})
	for i, x := range kept {
		if err != nil {
			return gone, err
		}
		var replaced time.Time
		if i+1 < len(kept) {
			replaced = kept[i+1].UpdatedAt
		}
		if !goes(x, replaced) {
			return gone, nil
		}
		gone = append(gone, x.Version)
		err = v.versions.Delete(tx, versionKey(rid, x.Version))
	}
	return gone, err
}

func (v *Vault) dropHistory(tx store.Tx, rid string) error {
	_, err := v.drop(tx, rid, func(Resource, time.Time) bool { return true })
	return err
}
