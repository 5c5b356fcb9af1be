package sandbox

import (
	"errors"
	"io"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// Keep applies changes, which List gave, to the real folders, one path after another, each at once or not at all; files get the folder's owner, and no
// set-user-id, set-group-id or sticky bit. Nothing is begun where the layer does not hold what the list says, nor, without force, where something happened to a path
// in the real folder since the run saw it: those paths are given. What happens to a path at that very moment ends the work before it, with a fault. tag names the
// run in what is made beside files for a moment. Faults: record_tampered, workdir_refused.
func (l *Layers) Keep(tag string, changes []Change, force bool) ([]Conflict, error) {
	var at []Conflict
	err := l.each(changes, func(k *keeper, c Change) error {
		if err := k.listed(c); err != nil {
			return err
		}
		if what := k.happened(c); what != "" && !force {
			at = append(at, Conflict{c.Workdir, c.Path, what})
		}
		return nil
	})
	if err != nil || len(at) > 0 {
		return at, err
	}
	n := 0
	return nil, l.each(changes, func(k *keeper, c Change) error {
		k.force, k.temp = force, ".zavhoz-keep-"+tag+"-"+itoa(n)
		n++
		what, err := k.apply(c)
		if what != "" {
			return fault.Newf(fault.VersionConflict, "%s in %s %s at this very moment; what comes before it in the list of changes was kept", quoted(c.Path), quoted(c.Workdir), what)
		}
		if err != nil {
			return fault.Newf(fault.WorkdirRefused, "%s in %s could not be kept; what comes before it in the list of changes was", quoted(c.Path), quoted(c.Workdir)).Because(err)
		}
		return nil
	})
}

// Conflicts gives the paths at which something happened in the real folders since the run saw them.
func (l *Layers) Conflicts(changes []Change) (at []Conflict, err error) {
	err = l.each(changes, func(k *keeper, c Change) error {
		if what := k.happened(c); what != "" {
			at = append(at, Conflict{c.Workdir, c.Path, what})
		}
		return nil
	})
	return at, err
}

// Text reads both sides of a change: what is in the real folder now, and what the run made of it. Of a side that is longer than limit bytes, or that is no file, it
// gives nil. Faults: record_tampered.
func (l *Layers) Text(c Change, limit int64) (below, made []byte, err error) {
	err = l.each([]Change{c}, func(k *keeper, c Change) error {
		if c.Sum != "" && c.Bytes <= limit {
			f, err := openUpper(k.upper, c.Path)
			if err != nil {
				return tampered(c)
			}
			defer f.Close()
			if made, err = io.ReadAll(io.LimitReader(f, limit+1)); err != nil {
				return internal("read the layer", err)
			}
			if sum, _ := sumOf(newReader(made)); sum != c.Sum {
				return tampered(c)
			}
		}
		dir, err := beneath(k.lower, path.Dir(c.Path), unix.O_PATH)
		if err != nil {
			return nil
		}
		defer dir.Close()
		f, err := openFile(dir, path.Base(c.Path))
		if err != nil {
			return nil
		}
		defer f.Close()
		if st, err := f.Stat(); err == nil && st.Size() <= limit {
			below, err = io.ReadAll(io.LimitReader(f, limit))
			if err != nil {
				below = nil
			}
		}
		return nil
	})
	return below, made, err
}

func tampered(c Change) error {
	return fault.Newf(fault.RecordTampered, "what is on the shelf of %s in %s is not what was listed", quoted(c.Path), quoted(c.Workdir)).
		WithNext("somebody changed it after the run: discard it (zavhoz runs discard), and run the command again")
}

// keeper keeps the changes of one layer.
type keeper struct {
	s     *Sandbox
	of    *layer
	lower *os.File
	upper *os.Root
	force bool
	temp  string

	making map[string]bool // folders that are not there, or are something else
}

// each opens both sides of every layer and gives its changes to use, in order.
func (l *Layers) each(changes []Change, use func(*keeper, Change) error) error {
	for _, c := range changes { // a list that names other folders is not of these layers
		if !slices.ContainsFunc(l.list, func(one *layer) bool { return one.Workdir == c.Workdir }) {
			return tampered(c)
		}
	}
	for _, one := range l.list {
		if err := l.s.eachOf(one, changes, use); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sandbox) eachOf(l *layer, changes []Change, use func(*keeper, Change) error) error {
	o, err := s.over(l)
	if err != nil {
		return err
	}
	defer o.close()
	upper, err := os.OpenRoot(l.upper())
	if err != nil {
		return internal("read the layer", err)
	}
	defer upper.Close()
	k := &keeper{s: s, of: l, lower: o.file, upper: upper, making: map[string]bool{}}
	for _, c := range changes {
		if c.Workdir == l.Workdir && c.Dir && c.Kind != Removed && !c.Was.IsDir() {
			k.making[c.Path] = true
		}
	}
	for _, c := range changes {
		if c.Workdir != l.Workdir {
			continue
		}
		if c.Path == "." || c.Path != path.Clean(c.Path) || path.IsAbs(c.Path) || c.Path == ".." || len(c.Path) > 2 && c.Path[:3] == "../" {
			return tampered(c)
		}
		if err := use(k, c); err != nil {
			return err
		}
	}
	return nil
}

// listed makes sure that the layer holds what the list says.
func (k *keeper) listed(c Change) error {
	switch {
	case c.Sum != "":
		f, err := openUpper(k.upper, c.Path)
		if err != nil {
			return tampered(c)
		}
		defer f.Close()
		if sum, err := sumOf(f); err != nil || sum != c.Sum {
			return tampered(c)
		}
	case c.Target != "":
		if target, err := k.upper.Readlink(c.Path); err != nil || target != c.Target {
			return tampered(c)
		}
	}
	return nil
}

// happened tells what happened to a path in the real folder since the run saw it; "" where nothing did, or where it came to what the run made of it.
func (k *keeper) happened(c Change) Happening {
	dir, err := beneath(k.lower, path.Dir(c.Path), unix.O_PATH)
	if err != nil {
		gone, other := errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR)
		switch {
		case c.Kind == Removed && (gone || other), k.makes(path.Dir(c.Path)): // it went with its folder; or its folder is among the changes, and tells of itself
			return ""
		case gone:
			return HappenedDelete
		}
		return HappenedType
	}
	defer dir.Close()
	return k.at(dir, path.Base(c.Path), c)
}

// makes tells whether a folder is one that the changes make, or lies in one.
func (k *keeper) makes(p string) bool {
	for ; p != "."; p = path.Dir(p) {
		if k.making[p] {
			return true
		}
	}
	return false
}

// at is happened in an open folder.
func (k *keeper) at(dir *os.File, name string, c Change) Happening {
	now, there := look(dir, name)
	if k.done(dir, name, c) {
		return ""
	}
	switch {
	case !c.Had() && there:
		return HappenedAppear
	case !c.Had():
		return ""
	case !there:
		return HappenedDelete
	case modeOf(now).Type() != c.Was.Type():
		return HappenedType
	case c.Was.IsDir() && c.Dir && c.Kind != Removed: // its rights alone
		if modeOf(now) != c.Was {
			return HappenedChange
		}
		return ""
	case c.Was.IsDir():
		return k.tree(dir, name, c)
	case c.Below.Unseen || identity(now) != seen(c.Below):
		return HappenedChange
	}
	return ""
}

func seen(b Below) Below { return Below{Ino: b.Ino, Size: b.Size, Mtime: b.Mtime, Ctime: b.Ctime} }

// tree compares a folder that goes, in its whole.
func (k *keeper) tree(dir *os.File, name string, c Change) Happening {
	digest, _ := treeOf(dir, name)
	switch {
	case digest == "?" || c.Below.Tree == "?":
		return HappenedLarge
	case c.Below.Unseen || digest != c.Below.Tree:
		return HappenedChange
	}
	return ""
}

// done tells whether the real folder has what the run made already: a keep that was broken off, or a person who did the same.
func (k *keeper) done(dir *os.File, name string, c Change) bool {
	now, there := look(dir, name)
	mode := modeOf(now)
	switch {
	case c.Kind == Removed:
		return !there
	case !there || mode.Type() != c.Mode.Type():
		return false
	case c.Dir:
		return !c.Had() || !c.Was.IsDir() || mode.Perm() == kept(c)
	case c.Sum == "":
		return readlink(dir, name) == c.Target
	}
	if now.Size != c.Bytes || mode&^07777 != 0 || mode.Perm() != kept(c) {
		return false
	}
	f, err := openFile(dir, name)
	if err != nil {
		return false
	}
	defer f.Close()
	sum, err := sumOf(f)
	return err == nil && sum == c.Sum
}
