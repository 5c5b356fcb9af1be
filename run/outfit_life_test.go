package run

import (
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
)

// The longest run of each sort fits into what its proxy's authority holds for.
func TestAProxyOutlivesItsRun(t *testing.T) {
	for who, want := range map[audit.ActorType]time.Duration{audit.Agent: maxBackground + time.Hour, audit.Operator: 29 * 24 * time.Hour} {
		o := outfit{l: &live{record: vault.Run{Actor: vault.Actor{Type: who}}}}
		if got := o.life(); got < want {
			t.Errorf("%s: %v", who, got)
		}
	}
}
