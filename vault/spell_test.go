package vault

import (
	"testing"

	"github.com/zavhoz/zavhoz/vault/internal/spell/spelltest"
)

// What is written without reflection is what encoding/json writes: other bytes would be another format.
func TestSpelledAsByReflection(t *testing.T) {
	spelltest.Hold(t, false, spellResource)
	spelltest.Hold(t, false, spellLink)
	spelltest.Hold(t, false, spellConfig)
	spelltest.Hold(t, false, spellFormer)
}
