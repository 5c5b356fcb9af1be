package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
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
	header, id, err := p.header(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return f, forgetLeft(dir, left, func(folder home.Dir) bool { return folder.Stale(time.Now()) })
	}
	if c := fault.CodeOf(err); c == fault.NotInitialized { // a copy that is under way, or a vault that was moved away: none of ours
		return f, nil
	}
	if err != nil {
		return f, err
	}
	folder, err := theOne(left, header, id)
	if err != nil || folder == (home.Dir{}) {
		return f, err
	}
	return finished{dir.Path(), id, true}, dir.Finish(folder)
}

// theOne is the folder whose identity opens the vault that the database holds, and that remembers this vault: what a folder says of itself anybody may have written, and a home that opens nothing is none. The zero Dir where no
// folder has to do with that vault. Errors: wrong_identity where none opens it that says it does, or one that says another; already_initialized where several do.
func theOne(left map[home.Dir]known, header []byte, id string) (one home.Dir, err error) {
	var open, say []home.Dir
	var why error
	for folder, k := range left {
		if k.VaultID == id {
			say = append(say, folder)
		}
		if err := openedBy(folder, header, k.VaultID == id); err == nil {
			open = append(open, folder)
		} else if k.VaultID == id {
			why = err
		}
	}
	switch {
	case len(open) == 1 && slices.Contains(say, open[0]):
		return open[0], nil
	case len(open) > 1:
		return one, fault.New(fault.AlreadyInitialized, "more than one folder of an init that was broken off opens the vault of this database: "+foldersOf(open),
			"they hold its key: keep one where it is, move the others elsewhere, and run `zavhoz init` again with the same --store")
	case len(open) == 1:
		return one, fault.New(fault.WrongIdentity, "what an init that was broken off left opens the vault of this database, and remembers another: "+foldersOf(open),
			"find out who changed known.json there; the folder's identity.txt opens the vault: keep it, and ask for help before anything of it is removed")
	case len(say) > 0:
		return one, fault.New(fault.WrongIdentity, "what an init that was broken off left does not open the vault of this database, though it says that it is its own: "+foldersOf(say),
			"put back the identity.txt that was made with it, or move the folder elsewhere; then run `zavhoz init` again with the same --store").Because(why)
	}
	return one, nil
}

// openedBy tells whether a folder holds what opens a slot of the header. Where the key lies in no file, there is nothing to try: what the folder says must do, and a slot that such a key could open.
func openedBy(folder home.Dir, header []byte, says bool) error {
	cfg, err := home.LoadConfig(folder.Config())
	if err != nil {
		return err
	}
	if len(cfg.Unlock.Sources) == 1 && cfg.Unlock.Sources[0] != home.FromFile {
		slots, err := keyring.Slots(header)
		fits := func(s keyring.Slot) bool { return s.IsPassphrase() == (cfg.Unlock.Sources[0] == home.FromPassphrase) }
		if err == nil && (!says || !slices.ContainsFunc(slots, fits)) {
			err = fault.New(fault.WrongIdentity, "no slot of the vault is for such a key", "")
		}
		return err
	}
	ids, err := home.LoadIdentities(folder.Identity())
	if err != nil {
		return err
	}
	_, err = keyring.Opens(header, ids)
	return err
}

// foldersOf names folders, in order.
func foldersOf(folders []home.Dir) string {
	var names []string
	for _, f := range folders {
		names = append(names, home.Quote(f.Path()))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
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

// header gives the header of the vault that the database holds, and its id. Errors: those that wrap fs.ErrNotExist: none.
func (p vaultPlace) header(ctx context.Context) (header []byte, id string, err error) {
	st, err := p.look(ctx, "")
	if err != nil {
		return nil, "", err
	}
	defer st.Close()
	if header, err = vault.Header(ctx, st); err != nil {
		return nil, "", err
	}
	id, err = keyring.VaultOf(header)
	return header, id, err
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
