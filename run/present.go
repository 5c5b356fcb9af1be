package run

import (
	"context"
	"maps"
	"reflect"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/kind"
)

// presentTimeout bounds a look at a resource as it is now.
const presentTimeout = 5 * time.Second

// present gives the resource of a run as it is now where no more than its credential was exchanged since the run began: a run outlives the value that it began with
// (run/rotate). Where anything else changed, that says where values go (attributes, hosts, the address), the run keeps what it was allowed with: a value that was given
// for another place is not sent to this one. What cannot be told changes nothing: the value of then is used, and fails where it is good no longer.
func (e *Engine) present(r vault.Resource) vault.Resource {
	if e.o.Present == nil {
		return r
	}
	ctx, cancel := context.WithTimeout(context.Background(), presentTimeout)
	defer cancel()
	now, err := e.o.Present(ctx, r.ID)
	if err != nil || now.ID != r.ID || now.Kind != r.Kind || !maps.Equal(now.Attrs, r.Attrs) || !reflect.DeepEqual(now.Policy, r.Policy) || !sameHidden(now, r) {
		return r
	}
	r.Sealed = now.Sealed
	return r
}

// sameHidden tells whether the addresses are those of then.
func sameHidden(a, b vault.Resource) bool {
	k, err := kind.Get(a.Kind)
	if err != nil {
		return false
	}
	for _, f := range k.Fields {
		x, inA := a.Sealed[f.Name]
		y, inB := b.Sealed[f.Name]
		if f.Class == kind.Hidden && (inA != inB || x.Version != y.Version) {
			return false
		}
	}
	return true
}
