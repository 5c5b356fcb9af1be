package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
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

// trial is what came of trying what a folder holds on the header of a vault.
type trial int

const (
	opensIt   trial = iota + 1 // its identity opens a slot
	mayOpenIt                  // its key lies in no file: there is nothing to try, and a slot that such a key could open
	opensNot                   // its identity opens none, or is not there, or no slot is for such a key
	untried                    // it could not be tried, or the header is damaged
)

// theOne is the folder whose identity opens the vault that the database holds, and that remembers this vault: what a folder says of itself anybody may have written, and a home that opens nothing is none. A folder whose key
// lies in no file is believed where nothing else is known. The zero Dir where no folder has to do with that vault. Errors: already_initialized where several open it; wrong_identity where none opens it that says it does, or one
// that says another; why one that says it does could not be tried: it may hold the only key.
func theOne(left map[home.Dir]known, header []byte, id string) (one home.Dir, err error) {
	found := map[trial][]home.Dir{} // of those that say it, and all that open
	var why error
	for _, folder := range slices.SortedFunc(maps.Keys(left), func(a, b home.Dir) int { return strings.Compare(a.Path(), b.Path()) }) {
		how, err := try(folder, header)
		if how == untried && why == nil && left[folder].VaultID == id {
			why = inFolder(folder, err)
		}
		if how == opensIt || left[folder].VaultID == id {
			found[how] = append(found[how], folder)
		}
	}
	switch open, may := found[opensIt], found[mayOpenIt]; {
	case len(open) == 1 && left[open[0]].VaultID == id:
		return open[0], nil
	case len(open) > 1:
		return one, fault.New(fault.AlreadyInitialized, "more than one folder of an init that was broken off opens the vault of this database: "+foldersOf(open),
			"they hold its key: keep one where it is, move the others elsewhere, and run `zavhoz init` again with the same --store")
	case len(open) == 1:
		return one, fault.New(fault.WrongIdentity, "what an init that was broken off left opens the vault of this database, and remembers another: "+foldersOf(open),
			"find out who changed known.json there; the folder's identity.txt opens the vault: keep it, and ask for help before anything of it is removed")
	case why != nil:
		return one, why
	case len(may) == 1:
		return may[0], nil
	case len(may) > 1:
		return one, fault.New(fault.AlreadyInitialized, "more than one folder of an init that was broken off says that it opens the vault of this database, by a key that lies in no file: "+foldersOf(may),
			"find out which of them was made last with this --store; keep all, with the others elsewhere, and run `zavhoz init` again")
	case len(found[opensNot]) > 0:
		return one, fault.New(fault.WrongIdentity, "what an init that was broken off left does not open the vault of this database, though it says that it is its own: "+foldersOf(found[opensNot]),
			"put back the identity.txt that was made with it, or move the folder elsewhere; then run `zavhoz init` again with the same --store")
	}
	return one, nil
}

// try tells whether a folder holds what opens a slot of the header, and why that cannot be told.
func try(folder home.Dir, header []byte) (trial, error) {
	cfg, err := home.LoadConfig(folder.Config())
	if err != nil {
		return untried, err
	}
	if len(cfg.Unlock.Sources) == 1 && cfg.Unlock.Sources[0] != home.FromFile {
		slots, err := keyring.Slots(header)
		if err != nil {
			return untried, err
		}
		if slices.ContainsFunc(slots, func(s keyring.Slot) bool { return s.IsPassphrase() == (cfg.Unlock.Sources[0] == home.FromPassphrase) }) {
			return mayOpenIt, nil
		}
		return opensNot, nil
	}
	ids, err := home.LoadIdentities(folder.Identity())
	if errors.Is(err, fs.ErrNotExist) {
		return opensNot, nil
	}
	if err != nil {
		return untried, err
	}
	switch _, err = keyring.Opens(header, ids); {
	case err == nil:
		return opensIt, nil
	case fault.CodeOf(err) == fault.WrongIdentity:
		return opensNot, nil
	}
	return untried, err
}

// inFolder is why a folder could not be tried, with its name.
func inFolder(folder home.Dir, err error) error {
	f := fault.Of(err)
	next := f.Next + "; then"
	if f.Code == fault.WrongIdentity { // it cannot be read: another would not do
		next = "put back the identity.txt that was made with it; then"
	}
	return fault.New(f.Code, f.Message+"; that is of what an init that was broken off left: "+home.Quote(folder.Path()),
		next+" run `zavhoz init` again with the same --store. The folder may hold the only key of the vault: keep it where it is").Because(err)
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
