package bridge_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

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

// TestWhatTheirProgramsRenewStays: a value that was written there later than here stays there, whoever looks, until the same secret is changed here.
func TestWhatTheirProgramsRenewStays(t *testing.T) {
	h := newHouse(t, "jsonb")
	_, err := h.Adopt(t.Context(), operator, ask(false))
	must(t, err)
	put := func(value string, at time.Time) {
		t.Helper()
		token, err := h.keys.Seal(secret.FromString(value), at)
		must(t, err)
		h.sql(`UPDATE projects SET config = jsonb_set(config, '{secrets,STRIPE_SECRET}', to_jsonb($2::text)) WHERE id = $1`, shopID, token)
	}
	shop, err := h.Project(t.Context(), operator, "shop")
	must(t, err)
	stays := func(value string, late, theirs int) {
		t.Helper()
		if st, err := h.State(t.Context()); err != nil || st.Late != late || st.Theirs != theirs {
			t.Errorf("%+v %v", st, err)
		}
		must(t, h.Changed(t.Context(), shop.ID))
		if secrets, _ := h.there(shopID); secrets["STRIPE_SECRET"] != value {
			t.Errorf("there: %s", secrets["STRIPE_SECRET"])
		}
	}
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(1100 * time.Millisecond))) // tokens tell seconds
	put("renewed-there", time.Now())
	stays("renewed-there", 0, 1)
	h.set("shop", "OTHER", "of-another-name")
	stays("renewed-there", 0, 1)
	time.Sleep(1100 * time.Millisecond)
	h.set("shop", "STRIPE_SECRET", "changed-here")
	stays("changed-here", 0, 0)
	was := h.here("shop")["STRIPE_SECRET"]
	put("of-long-ago", time.Now().Add(-time.Hour)) // as a restore of their table
	stays(was, 1, 0)
	put("of-a-clock-that-is-ahead", time.Now().Add(time.Hour))
	stays(was, 1, 0)
	must(t, h.Finish(t.Context(), operator, false))
}
