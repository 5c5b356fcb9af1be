//go:build !linux

package sandbox

import "github.com/zavhoz/zavhoz/vault/fault"

// Layers are never made here: there are no overlays.
type Layers struct{}

var errNoLayers = fault.New(fault.NotSupported, "this system has no overlays", "run the daemon on Linux")

// Layers finds none.
func (s *Sandbox) Layers(string, []Layer) *Layers { return &Layers{} }

// Same is false.
func (s *Sandbox) Same(Layer) bool { return false }

// Layers gives none.
func (b *Box) Layers() *Layers { return &Layers{} }

// Refs gives none.
func (l *Layers) Refs() []Layer { return nil }

// List lists nothing.
func (l *Layers) List([]Change) ([]Change, error) { return nil, nil }

// Conflicts refuses.
func (l *Layers) Conflicts([]Change) ([]Conflict, error) { return nil, errNoLayers }

// Keep refuses.
func (l *Layers) Keep(string, []Change, bool) ([]Conflict, error) { return nil, errNoLayers }

// Text refuses.
func (l *Layers) Text(Change, int64) (below, made []byte, err error) { return nil, nil, errNoLayers }

// HoldsLayers is false.
func HoldsLayers(string) bool { return false }
