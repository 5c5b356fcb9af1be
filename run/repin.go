package run

import (
	"errors"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// repin names the resource and the pin in the next step of a changed binary or file: who finds it knows neither.
func repin(err error, p *plan) error {
	var f *fault.Error
	if p.sort != pinnedRun || !errors.As(err, &f) || f.Code != fault.BinaryChanged {
		return err
	}
	for _, u := range p.uses {
		for _, pin := range u.Resource.Policy.Pins {
			if pin.Name == p.pin.Name {
				next := "a person looks at what changed, then pins it again: zavhoz resource policy " + u.Resource.Handle + " --pin " + pin.Name + " -- COMMAND…"
				again := fault.New(f.Code, f.Message, next).Because(err)
				again.Details = f.Details
				return again
			}
		}
	}
	return err
}
