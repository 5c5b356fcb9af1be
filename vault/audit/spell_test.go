package audit

import (
	"testing"

	"github.com/zavhoz/zavhoz/vault/internal/spell/spelltest"
)

// A record has the spelling that it had when encoding/json wrote it: the chain's hashes are over it.
func TestSpelledAsByReflection(t *testing.T) { spelltest.Hold(t, true, spellRecord) }
