package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// finished is what init tells where an earlier one lacked only its end.
type finished struct {
	Home     string `json:"home"`
	VaultID  string `json:"vault_id"`
	Finished bool   `json:"finished"`
}

// finish looks for an init of this home that was broken off when the vault was in its database already, and gives its folder the home's name: it holds what opens the vault, and nothing else does.
func (p vaultPlace) finish(ctx context.Context, dir home.Dir) (f finished, err error) {
	if p.pg == nil {
		return f, nil
	}
	left := p.unfinished(dir)
	if len(left) == 0 {
		return f, nil
	}
	id, err := p.vaultID(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return f, forgetLeft(dir, left, func(folder home.Dir) bool { return folder.Stale(time.Now()) })
	}
	if c := fault.CodeOf(err); c == fault.NotInitialized { // a copy that is under way, or a vault that was moved away: none of ours
		return f, nil
	}
	if err != nil {
		return f, err
	}
	for folder, k := range left {
		if k.VaultID == id {
			return finished{dir.Path(), id, true}, dir.Finish(folder)
		}
	}
	return f, nil
}

// refuseBare refuses an init that does not say --store where an earlier one did: a second vault in the home's place would leave the first one's only key in a hidden folder.
func refuseBare(left home.Dir) error {
	return fault.New(fault.AlreadyInitialized, "an earlier init of this home, with --store, was broken off, or is under way; what opens its vault, if that was made, is in "+home.Quote(left.Path()),
		"run `zavhoz init` again with the same --store (the file `store` in that folder says which): it finishes, or starts over; for another vault move that folder away first")
}

// unfinished are the folders of broken-off inits of a home, or of one under way, whose vault was to be here.
func (p vaultPlace) unfinished(dir home.Dir) map[home.Dir]known {
	all := map[home.Dir]known{}
	for _, left := range dir.Unfinished() {
		if k, err := readKnown(left); err == nil && k.Place == p.String() {
			all[left] = k
		}
	}
	return all
}

// vaultID tells which vault the database holds. Errors: those that wrap fs.ErrNotExist: none.
func (p vaultPlace) vaultID(ctx context.Context) (string, error) {
	st, err := p.look(ctx, "")
	if err != nil {
		return "", err
	}
	defer st.Close()
	header, err := vault.Header(ctx, st)
	if err != nil {
		return "", err
	}
	return keyring.VaultOf(header)
}

// forgetLeft puts aside what inits left, where over says that their vault is not there and will not be.
func forgetLeft(dir home.Dir, left map[home.Dir]known, over func(home.Dir) bool) (err error) {
	for folder := range left {
		if over(folder) {
			err = errors.Join(err, dir.Forget(folder))
		}
	}
	return err
}

func (a *app) showFinished(f finished, err error) error {
	if err != nil {
		return err
	}
	return a.show(f, func(w io.Writer) {
		fmt.Fprintf(w, "Made %s, which an earlier init began: it had made its vault in the database, and was broken off before the home had its name.\n", f.Home)
		fmt.Fprintln(w, "All is as that one was told; this one asked for nothing, and --unlock, --recovery and --grant-to count no more. A recovery identity that was to be shown is lost:")
		fmt.Fprintln(w, "`zavhoz key list` shows its slot, if there is one; remove that, and add another.")
		fmt.Fprintln(w, "If another role is to serve the vault, give it its rights: docs/postgresql.md lists the GRANTs.")
		fmt.Fprintln(w, "\nNext: zavhoz doctor")
	})
}
