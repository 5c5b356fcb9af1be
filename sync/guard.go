package sync

import (
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// shrinkRows is how many rows a list may always lose at once: small accounts lose half of their servers in honest ways.
const shrinkRows = 3

// implausible tells that a list lost too much to be believed at once: everything, or more than half and more than shrinkRows.
func (l loss) implausible() bool {
	return l.absent > 0 && (l.absent == l.known || l.absent > shrinkRows && 2*l.absent > l.known)
}

// guard decides whether absences count this cycle. was is what the guard held before; patience is after how many cycles with the same loss it
// believes it; confirmed is the digest of a loss that the operator confirmed. It gives the state to keep (nil: nothing held back) and whether it holds.
func guard(was *Shrunk, l loss, patience int, confirmed string, now time.Time) (*Shrunk, bool) {
	if !l.implausible() {
		return nil, false
	}
	s := Shrunk{Lost: l.digest, Since: now}
	if was != nil && was.Lost == l.digest {
		s = *was
	}
	s.Absent, s.Known, s.Cycles = l.absent, l.known, s.Cycles+1
	s.Accepted = s.Accepted || s.Cycles > patience || confirmed == l.digest
	return &s, !s.Accepted
}

func shrunkFault(s *Shrunk) *fault.Error {
	return fault.Newf(fault.SyncShrunk, "the provider's list lost %d of %d servers at once, so their absence is not believed yet", s.Absent, s.Known).
		WithNext("look at the provider's panel; if they are really gone, confirm it with `zavhoz server sync --confirm-shrunk`, or wait: a loss that stays the same is believed in the end").
		With("absent", s.Absent).With("known", s.Known).With("cycles", s.Cycles)
}
