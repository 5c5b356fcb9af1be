package variable

import "github.com/zavhoz/zavhoz/vault/contract"

// Outcome is what a resolution came to, in the words that orchestrators know. Names are frozen.
type Outcome string

// The outcomes. head_sha_missing and waiting_infrastructure of the earlier system are its orchestrator's own: a resolution here is given its contract, and
// waits for nothing.
const (
	Complete Outcome = "resolved"
	Waiting  Outcome = "waiting_for_user_secret"
	Unplaced Outcome = "allocation_missing"
	Broken   Outcome = "environment_resolution_failed"
	Invalid  Outcome = contract.Outcome
)

// OutcomeOf gives the worst of what the variables say: what cannot be resolved at all, then what is to be allocated first, then what a person has to give.
func OutcomeOf(rs []Resolved) Outcome {
	waiting := map[string]bool{}
	for _, r := range rs {
		waiting[r.Name] = r.State == Missing
	}
	out := Complete
	worse := func(o Outcome) {
		if rank[o] > rank[out] {
			out = o
		}
	}
	for _, r := range rs {
		switch {
		case r.State == Missing:
			worse(Waiting)
		case r.State != Failed:
		case r.Problem == NoAllocation:
			worse(Unplaced)
		case r.Problem == NoValue && waiting[r.Cause]:
			worse(Waiting)
		default:
			worse(Broken)
		}
	}
	return out
}

var rank = map[Outcome]int{Waiting: 1, Unplaced: 2, Broken: 3}
