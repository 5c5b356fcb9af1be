package policy

import (
	"slices"

	"github.com/zavhoz/zavhoz/vault/fault"
)

var order = []Level{LevelOpen, LevelProxied, LevelBasic, LevelSealed, LevelVaulted}

// ParseLevel reads the name of a level.
func ParseLevel(s string) (Level, error) {
	if l := Level(s); slices.Contains(order, l) {
		return l, nil
	}
	return "", fault.New(fault.InvalidArgument, "that is not an isolation level", "the levels are open, proxied, basic, sealed and vaulted")
}

// Less tells whether l isolates less than o. A name that is no level, the empty one included, is below all.
func (l Level) Less(o Level) bool { return slices.Index(order, l) < slices.Index(order, o) }

// Meets tells whether a run at level l satisfies the minimum; "" asks for nothing. A minimum that we do not know is never met: fail closed.
func (l Level) Meets(minimum Level) bool {
	if minimum == "" {
		return true
	}
	return slices.Contains(order, minimum) && !l.Less(minimum)
}
