package run

import (
	"time"

	"github.com/zavhoz/zavhoz/vault/audit"
)

// How long the authority of a run's proxy holds: longer than the run may last, for its clients read it once. An agent's runs end within a day; what a person
// attends has no end of its own.
const (
	agentsLife   = 25 * time.Hour
	attendedLife = 30 * 24 * time.Hour
)

func (o *outfit) life() time.Duration {
	if o.l.record.Actor.Type == audit.Operator {
		return attendedLife
	}
	return agentsLife
}
