package bridge_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/sync/bridge"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// TestOneOddRowStopsNoOther: a row that cannot be read is told, and counts as late where it lacks something; the others are adopted, looked at and written.
func TestOneOddRowStopsNoOther(t *testing.T) {
	for _, column := range []string{"json", "jsonb"} {
		h := newHouse(t, column)
		h.sql(`INSERT INTO projects VALUES (gen_random_uuid(), '', 'odd', 'draft', '[1]')`)
		out, err := h.Adopt(t.Context(), operator, ask(false))
		must(t, err)
		if i := slices.IndexFunc(out.Projects, func(p bridge.Adopted) bool { return p.Slug == "odd" }); i < 0 || out.Projects[i].Problem == "" || out.Projects[i].New {
			t.Errorf("%+v", out.Projects)
		}
		other := bridge.New(bridge.Options{Vault: h.Vault, Opener: h.in.Opener, Log: slog.New(slog.DiscardHandler)})
		late := func(want int) {
			t.Helper()
			if st, err := other.State(t.Context()); err != nil || st.Late != want {
				t.Errorf("%+v %v, not %d", st, err, want)
			}
		}
		late(0)
		h.sql(`ALTER TABLE projects RENAME TO away`)
		h.set("shop", "STRIPE_SECRET", "changed-here")
		h.sql(`ALTER TABLE away RENAME TO projects`)
		late(1)
		h.sql(`UPDATE projects SET config = '"text"' WHERE id = $1`, botID)
		late(2)
		if err := other.Finish(t.Context(), operator, false); fault.CodeOf(err) != fault.ResourceBusy {
			t.Errorf("the end does not wait: %v", err)
		}
		if secrets, _ := h.there(shopID); secrets["STRIPE_SECRET"] != "changed-here" {
			t.Errorf("%v", secrets)
		}
		late(1)
		h.sql(`UPDATE projects SET config = NULL WHERE id = $1`, botID)
		must(t, other.Finish(t.Context(), operator, false))
		if secrets, _ := h.there(botID); secrets["OPENAI_API_KEY"] != "of-the-bot-1" {
			t.Errorf("%v", secrets)
		}
	}
}

// misses opens all but one field.
type misses struct {
	vault.Opener
	field string
}

func (m misses) Open(ref keyring.Ref, sealed string) (secret.Secret, error) {
	if strings.Contains(ref.Field, m.field) {
		return secret.Secret{}, errors.New("it does not open")
	}
	return m.Opener.Open(ref, sealed)
}

// TestOneLostValueStopsNoOther: a value of the vault that does not open keeps its own project late, and nobody else's.
func TestOneLostValueStopsNoOther(t *testing.T) {
	h := newHouse(t, "jsonb")
	_, err := h.Adopt(t.Context(), operator, ask(false))
	must(t, err)
	h.sql(`ALTER TABLE projects RENAME TO away`)
	h.set("weather-bot", "OPENAI_API_KEY", "changed-here")
	h.sql(`ALTER TABLE away RENAME TO projects`)
	other := bridge.New(bridge.Options{Vault: h.Vault, Opener: misses{h.in.Opener, "DB_PASSWORD"}, Log: slog.New(slog.DiscardHandler)})
	if st, err := other.State(t.Context()); err != nil || st.Late != 2 {
		t.Errorf("%+v %v", st, err)
	}
	if err := other.Finish(t.Context(), operator, false); fault.CodeOf(err) != fault.ResourceBusy {
		t.Errorf("the end does not wait: %v", err)
	}
	if secrets, _ := h.there(botID); secrets["OPENAI_API_KEY"] != "changed-here" {
		t.Errorf("%v", secrets)
	}
}

// TestAnIDThatIsText: an id in capitals, where the column is text, is the same id; its row is written.
func TestAnIDThatIsText(t *testing.T) {
	h := newHouse(t, "jsonb")
	h.sql(`ALTER TABLE projects ALTER COLUMN id TYPE text USING upper(id::text)`)
	_, err := h.Adopt(t.Context(), operator, ask(false))
	must(t, err)
	if out := h.set("shop", "STRIPE_SECRET", "changed-here"); out.Late {
		t.Errorf("%+v", out)
	}
	if secrets, _ := h.there(strings.ToUpper(shopID)); secrets["STRIPE_SECRET"] != "changed-here" {
		t.Errorf("%v", secrets)
	}
}
