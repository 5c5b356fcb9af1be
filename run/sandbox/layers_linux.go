package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// Layers are what overlay working directories gained and lost in one run, in a folder on the disk. They need the run to have ended.
type Layers struct {
	s     *Sandbox
	list  []*layer
	bound Limits // LayerMB and LayerFiles
}

// Layers finds layers again in the folder that they were made in (BoxOptions.Layers). Whether the list is to be believed is the caller's business.
func (s *Sandbox) Layers(dir string, list []Layer) *Layers {
	l := &Layers{s: s, bound: s.defaults()}
	for _, one := range list {
		l.list = append(l.list, &layer{Layer: one, dir: filepath.Join(dir, one.Name)})
	}
	return l
}

// Layers gives the box's layers, for whoever keeps their folder.
func (b *Box) Layers() *Layers {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &Layers{b.s, slices.Clone(b.layers), b.bound.or(b.s.defaults())}
}

// Same tells whether a layer lies over the folder that is at its path now.
func (s *Sandbox) Same(l Layer) bool {
	o, err := s.openWorkdir(Workdir{Path: l.Workdir, Mode: Overlay})
	if err != nil {
		return false
	}
	defer o.close()
	return o.layer().same(l)
}

// Refs describes the layers as Sandbox.Layers takes them.
func (l *Layers) Refs() []Layer {
	out := make([]Layer, len(l.list))
	for i, one := range l.list {
		out[i] = one.Layer
	}
	return out
}

// Changes lists what the overlay working directories gained and lost, parents before what is in them. No link is followed on the way. It needs every process of
// the box to have ended: fault busy.
func (b *Box) Changes() ([]Change, error) {
	if err := b.quiet(); err != nil {
		return nil, err
	}
	return b.Layers().List(nil)
}

// quiet makes sure that nobody writes to the layers any more. A process has ended when the last that it started has: its first process's pidfd said so, and with
// their namespace their mounts are gone.
func (b *Box) quiet() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.live) > 0 {
		return fault.New(fault.Busy, "the run still changes what is to be listed or kept", "wait for its end")
	}
	return nil
}

// Keep applies the changes to the real folders, as Layers.Keep does, and forgets them.
func (b *Box) Keep() error {
	if err := b.quiet(); err != nil {
		return err
	}
	l := b.Layers()
	changes, err := l.List(nil)
	if err != nil {
		return err
	}
	if at, err := l.Keep(b.id, changes, false); err != nil || len(at) > 0 {
		return errors.Join(err, conflicted(at))
	}
	for _, one := range l.list {
		if err := b.drop(one); err != nil {
			return err
		}
	}
	return nil
}

// drop forgets a layer whose changes are in the folder now.
func (b *Box) drop(l *layer) error {
	b.mu.Lock()
	b.layers = slices.DeleteFunc(b.layers, func(o *layer) bool { return o == l })
	b.mu.Unlock()
	return removeAll(l.dir)
}

func conflicted(at []Conflict) error {
	if len(at) == 0 {
		return nil
	}
	return fault.Newf(fault.VersionConflict, "%d paths were changed in the folder itself meanwhile", len(at))
}

// List lists what differs, parents before what is in them. No link is followed on the way. Layers that hold more than Limits bound are not read: fault too_large. What lay below a path of known's is what known says: it was first
// changed in an earlier run.
func (l *Layers) List(known []Change) ([]Change, error) {
	if _, err := measure(l.list, int64(l.bound.LayerMB)<<20, l.bound.LayerFiles, true); err != nil {
		return nil, err
	}
	all := []Change{}
	for _, one := range l.list {
		err := l.s.compare(one, known, func(d *difference) { all = append(all, d.list...) })
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// over opens the folder that a layer lies over.
func (s *Sandbox) over(l *layer) (*opened, error) {
	o, err := s.openWorkdir(Workdir{Path: l.Workdir, Mode: Overlay, ours: l.ours})
	if err != nil {
		return nil, err
	}
	if !o.layer().same(l.Layer) {
		o.close()
		return nil, refused(l.Workdir, "was replaced by another since the run began")
	}
	return o, nil
}

// compare opens both sides and gives their difference to use.
func (s *Sandbox) compare(l *layer, known []Change, use func(*difference)) error {
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
	was := map[string]Change{}
	for _, c := range known {
		if c.Workdir == l.Workdir {
			was[c.Path] = c
		}
	}
	d := &difference{upper: upper, of: l, known: was}
	if err := d.walk(".", o.file); err != nil {
		var f *fault.Error
		if errors.As(err, &f) {
			return err
		}
		return internal("read the layer", err)
	}
	use(d)
	return nil
}
