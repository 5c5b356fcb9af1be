package home

import (
	"errors"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// ErrStands says of an Init that failed that the vault is there, or may be: what it built stays, for it holds what opens the vault.
var ErrStands = errors.New("home: the vault may have been made")

// stands says where the home of a vault is that has no other yet.
func stands(tmp, root string, err error) error {
	return fault.New(fault.CodeOf(err), "the vault was made in its database, and its home could not be put into its place; its files are in "+Quote(tmp),
		"make way at "+Quote(root)+" and run `zavhoz init` again with the same --store: it finishes; or move the folder to where it shall be").Because(errors.Join(ErrStands, err))
}

// placed says of an error after the home had its name that all is there: nothing is to be moved, for the only key is in it.
func placed(root string, err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.Internal, "the home "+Quote(root)+" was made, and the disk did not say that its name is kept", "look whether it is there, and check the disk; `zavhoz doctor` looks at the vault").
		Because(errors.Join(ErrStands, err))
}

// real is where the folder is in truth: a rename does not go through a link.
func (d Dir) real() string {
	if real, err := filepath.EvalSymlinks(d.root); err == nil {
		return real
	}
	return d.root
}

// leftovers are the folders in which homes at root were, or are being, built. Those of other users are not ours to look into.
func leftovers(root string) iter.Seq[Dir] {
	return func(yield func(Dir) bool) {
		entries, err := os.ReadDir(filepath.Dir(root))
		if err != nil {
			return
		}
		for _, e := range entries {
			st, err := e.Info()
			if err != nil || !e.IsDir() || !strings.HasPrefix(e.Name(), tempPrefix(root)) || !isOwn(st) || openToOthers(st) {
				continue
			}
			if d, err := At(filepath.Join(filepath.Dir(root), e.Name())); err == nil && !yield(d) {
				return
			}
		}
	}
}

// Stale tells of one of Unfinished whether its Init is surely over.
func (d Dir) Stale(now time.Time) bool {
	st, err := os.Lstat(d.root)
	return err == nil && now.Sub(st.ModTime()) > staleAfter
}

// Unfinished are the folders that Inits of this home left, or are at, whose vault is in a database. Whether it was made there, only who looks there knows.
func (d Dir) Unfinished() (all []Dir) {
	for left := range leftovers(d.real()) {
		if _, err := os.Lstat(left.Store()); err == nil {
			all = append(all, left.Away())
		}
	}
	return all
}

// Finish makes one of Unfinished the home, as Init would have. Errors: those of Init.
func (d Dir) Finish(left Dir) error { return publish(left.root, d.real(), syncFolder) }

// Forget puts one of Unfinished aside, whose vault was not made as far as its database says: a database that was exchanged, or lost a row, says so too, and nothing else holds
// that vault's key. It puts nothing else aside.
func (d Dir) Forget(left Dir) error {
	root := d.real()
	name, is := strings.CutPrefix(filepath.Base(left.root), tempPrefix(root))
	if !is || filepath.Dir(left.root) != filepath.Dir(root) {
		return nil
	}
	return os.Rename(left.root, filepath.Join(filepath.Dir(root), "."+filepath.Base(root)+"-left-"+name))
}
