package spell_test

import (
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault/internal/spell"
	"github.com/zavhoz/zavhoz/vault/internal/spell/spelltest"
)

type thing struct {
	Text  string            `json:"text"`
	Some  string            `json:"some,omitempty"`
	Int   int               `json:"int"`
	Uint  uint64            `json:"uint"`
	At    time.Time         `json:"at"`
	Texts map[string]string `json:"texts,omitempty"`
	Inner map[string]inner  `json:"inner,omitempty"`
	Any   []string          `json:"any"`
}

type inner struct {
	Text string `json:"text"`
}

func of(begin func([]byte) spell.Object) func([]byte, *thing) ([]byte, error) {
	return func(b []byte, v *thing) ([]byte, error) {
		o := begin(b)
		o.Text("text", v.Text)
		o.SomeText("some", v.Some)
		o.Int("int", v.Int)
		o.Uint("uint", v.Uint)
		o.Time("at", v.At)
		o.SomeTexts("texts", v.Texts)
		if len(v.Inner) > 0 {
			o.Name("inner")
			spell.Map(&o, v.Inner, func(i inner) {
				o.Open()
				o.Text("text", i.Text)
				o.Close()
			})
		}
		o.Name("any")
		o.Any(v.Any)
		return o.End()
	}
}

func TestSpelledAsByReflection(t *testing.T) {
	spelltest.Hold(t, false, of(spell.Begin))
	spelltest.Hold(t, true, of(spell.BeginBare))
}
