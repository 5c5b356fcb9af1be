package vault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// given makes a merge of names and values.
func given(kv ...string) vault.SecretMerge {
	m := vault.SecretMerge{Secrets: map[string]vault.SecretChange{}}
	for i := 0; i < len(kv); i += 2 {
		m.Secrets[kv[i]] = vault.SecretChange{Value: secret.FromString(kv[i+1])}
	}
	return m
}

func (h *house) project(slug string) vault.Project {
	h.t.Helper()
	p, err := h.AddProject(ctx, operator, slug, "")
	must(h.t, err)
	return p
}

func (h *house) merge(ref string, m vault.SecretMerge) vault.Merged {
	h.t.Helper()
	out, err := h.MergeProjectSecrets(ctx, operator, ref, m)
	must(h.t, err)
	return out
}

// secretsOf opens all that a project has.
func (h *house) secretsOf(ref string) map[string]string {
	h.t.Helper()
	_, sealed, err := h.SealedProjectSecrets(ctx, operator, ref, nil)
	must(h.t, err)
	out := map[string]string{}
	for name, s := range sealed {
		v, err := h.opener.Open(s.Ref, s.Sealed)
		must(h.t, err)
		out[name] = string(v.Reveal())
	}
	return out
}

func at(version uint64) *uint64 { return &version }

func TestSecretsOfAProject(t *testing.T) {
	h := newHouse(t)
	p := h.project("bot")
	m := given("OPENAI_API_KEY", "sk-first-value-0001", "DB_PASSWORD", "short")
	m.Hints = map[string]string{"OPENAI_API_KEY": "of the account for bots", "STRIPE_SECRET": "of the shop"}
	out := h.merge("bot", m)
	if !slices.Equal(out.Keys, []string{"DB_PASSWORD", "OPENAI_API_KEY"}) || out.Version != 1 || out.Known["DB_PASSWORD"].Type != vault.SecretUser {
		t.Fatalf("%+v", out)
	}
	for name, c := range m.Secrets {
		if c.Value.Len() != 0 {
			t.Errorf("%s was not wiped", name)
		}
	}
	h.pass(1)
	second := given("OPENAI_API_KEY", "sk-second-value-0002", "EXTRA", "more") // additive, by id
	second.Why = "a new one"
	if out = h.merge(p.ID, second); !slices.Equal(out.Keys, []string{"DB_PASSWORD", "EXTRA", "OPENAI_API_KEY"}) {
		t.Fatalf("%v", out.Keys)
	}
	if got := h.secretsOf("bot"); got["OPENAI_API_KEY"] != "sk-second-value-0002" || got["DB_PASSWORD"] != "short" || got["EXTRA"] != "more" {
		t.Fatalf("%v", got)
	}
	_, list, err := h.ProjectSecrets(ctx, operator, "bot")
	must(t, err)
	var said []string
	for _, s := range list {
		said = append(said, fmt.Sprint(s.Name, " ", s.Filled, " ", s.Class, " ", s.Version, " ", s.Hint))
	}
	if want := []string{"DB_PASSWORD true short 1 ", "EXTRA true short 2 ", "OPENAI_API_KEY true medium 2 of the account for bots", "STRIPE_SECRET false  0 of the shop"}; !slices.Equal(said, want) {
		t.Errorf("%q", said)
	}
	rows, err := h.SecretHistory(ctx, operator, "bot", "OPENAI_API_KEY")
	must(t, err)
	if len(rows) != 2 || rows[0].Version != 2 || rows[1].Version != 1 || rows[0].Why != "a new one" || !rows[0].CreatedAt.Before(rows[0].UpdatedAt) {
		t.Errorf("%+v", rows)
	}
	h.pass(-10) // another daemon's clock is behind: later versions are never of an earlier time
	back, err := h.RollbackProjectSecret(ctx, operator, "bot", "OPENAI_API_KEY", 1, "")
	must(t, err)
	if h.secretsOf("bot")["OPENAI_API_KEY"] != "sk-first-value-0001" || back.Version != 3 || back.UpdatedAt.Before(rows[0].UpdatedAt) {
		t.Errorf("%+v", back)
	}
	_, err = h.RollbackProjectSecret(ctx, operator, "bot", "OPENAI_API_KEY", 9, "")
	wantCode(t, err, fault.UnknownVersion)
	if got := h.known(); !slices.Equal(got, []string{
		"bot.DB_PASSWORD short", "bot.EXTRA more", "bot.OPENAI_API_KEY sk-first-value-0001", "bot.OPENAI_API_KEY sk-first-value-0001", "bot.OPENAI_API_KEY sk-second-value-0002",
	}) {
		t.Errorf("the redactor knows %q", got)
	}

	_, err = h.RemoveProjectSecret(ctx, operator, "bot", "OPENAI_API_KEY", at(1))
	wantCode(t, err, fault.VersionConflict)
	view, err := h.RemoveProjectSecret(ctx, operator, "bot", "OPENAI_API_KEY", at(3))
	must(t, err)
	if !slices.Equal(view.Keys, []string{"DB_PASSWORD", "EXTRA"}) {
		t.Errorf("%v", view.Keys)
	}
	_, err = h.RemoveProjectSecret(ctx, operator, "bot", "OPENAI_API_KEY", nil)
	wantCode(t, err, fault.UnknownSecret)
	_, err = h.SecretHistory(ctx, operator, "bot", "OPENAI_API_KEY")
	wantCode(t, err, fault.UnknownSecret)
	if slices.ContainsFunc(h.known(), func(s string) bool { return strings.Contains(s, "sk-") }) {
		t.Error("what was removed is still there")
	}
	if again := h.merge("bot", given("OPENAI_API_KEY", "sk-third-value-0003")); again.Known["OPENAI_API_KEY"].Version != 5 {
		t.Errorf("a version was used twice: %+v", again.Known)
	}
	must(t, h.Verify(ctx))
}

func TestMergesThatAreRefused(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	h.merge("bot", given("THERE", "value-1"))
	set := func(name string, v *uint64) vault.SecretMerge {
		m := given(name, "another", "BESIDE", "beside")
		c := m.Secrets[name]
		c.IfVersion = v
		m.Secrets[name] = c
		return m
	}
	hinted := func(name, hint string) vault.SecretMerge {
		m := given("A", "a-secret-value-1")
		m.Hints = map[string]string{name: hint}
		return m
	}
	typed := given("A", "v")
	typed.Secrets["A"] = vault.SecretChange{Value: secret.FromString("v"), Type: "own"}
	old := given("A", "v")
	old.IfConfig = at(7)
	many := vault.SecretMerge{Secrets: map[string]vault.SecretChange{}}
	for i := range vault.MaxProjectSecrets {
		many.Secrets[fmt.Sprint("N", i)] = vault.SecretChange{Value: secret.FromString("v")}
	}
	for _, x := range []struct {
		what string
		ref  string
		m    vault.SecretMerge
		code fault.Code
	}{
		{"nothing", "bot", vault.SecretMerge{}, fault.SecretMissing},
		{"no value", "bot", given("A", ""), fault.SecretInvalid},
		{"no project", "none", given("A", "v"), fault.UnknownProject},
		{"no project by id", "prj_aaaaaaaaaaaaaaaaaaaaaaaaaa", given("A", "v"), fault.UnknownProject},
		{"no project by UUID", "2b1c4c1e-6f7a-4a64-9a35-0f7c9be1d0aa", given("A", "v"), fault.UnknownProject},
		{"a name with a dash", "bot", given("A-B", "v"), fault.InvalidArgument},
		{"a name with a digit in front", "bot", given("1A", "v"), fault.InvalidArgument},
		{"no name", "bot", given("", "v"), fault.InvalidArgument},
		{"a long name", "bot", given(strings.Repeat("A", 129), "v"), fault.InvalidArgument},
		{"a large value", "bot", given("A", strings.Repeat("v", 64<<10+1)), fault.SecretInvalid},
		{"a zero byte", "bot", given("A", "v\x00"), fault.SecretInvalid},
		{"no text", "bot", given("A", "v\xff"), fault.SecretInvalid},
		{"the name as value", "bot", given("A_KEY", "A_KEY"), fault.SecretInvalid},
		{"no bot's token", "bot", given("TELEGRAM_BOT_TOKEN", "value"), fault.SecretInvalid},
		{"a bot's token with too many digits", "bot", given("A", strings.Repeat("1", 30)+":"+strings.Repeat("a", 35)), fault.SecretInvalid},
		{"a hint for no name", "bot", hinted("a b", "text"), fault.InvalidArgument},
		{"a hint of two lines", "bot", hinted("A", "a\nb"), fault.InvalidArgument},
		{"a hint with the value", "bot", hinted("B", "it is a-secret-value-1"), fault.SecretInvalid},
		{"a hint with a token", "bot", hinted("B", "use "+botToken), fault.SecretInvalid},
		{"there already", "bot", set("THERE", at(0)), fault.NameTaken},
		{"another version", "bot", set("THERE", at(9)), fault.VersionConflict},
		{"not there", "bot", set("GONE", at(1)), fault.VersionConflict},
		{"another config", "bot", old, fault.VersionConflict},
		{"no type", "bot", typed, fault.InvalidArgument},
		{"one too many", "bot", many, fault.TooLarge},
	} {
		_, err := h.MergeProjectSecrets(ctx, operator, x.ref, x.m)
		if fault.CodeOf(err) != x.code {
			t.Errorf("%s: %v, want %s", x.what, err, x.code)
		}
		for name, c := range x.m.Secrets {
			if c.Value.Len() != 0 {
				t.Errorf("%s: %s was not wiped", x.what, name)
			}
		}
	}
	if got := h.secretsOf("bot"); len(got) != 1 || got["THERE"] != "value-1" {
		t.Errorf("something of a refused merge is there: %v", got)
	}
}

// Who is second finds out, and what the first one made stays: a password that was generated is in use by then.
func TestInsertIfAbsent(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	first := given("POSTGRES_PASSWORD", "the-first-one-stays")
	first.IfAbsent = true
	c := first.Secrets["POSTGRES_PASSWORD"]
	c.Type = vault.SecretInfra
	first.Secrets["POSTGRES_PASSWORD"] = c
	if out := h.merge("bot", first); len(out.Existed) != 0 || out.Known["POSTGRES_PASSWORD"].Type != vault.SecretInfra {
		t.Fatalf("%+v", out)
	}
	second := given("POSTGRES_PASSWORD", "generated-too-late", "SECRET_KEY", "new")
	second.IfAbsent = true
	if out := h.merge("bot", second); !slices.Equal(out.Existed, []string{"POSTGRES_PASSWORD"}) || out.Known["POSTGRES_PASSWORD"].Version != 1 {
		t.Fatalf("%+v", out)
	}
	third := given("POSTGRES_PASSWORD", "again")
	third.IfAbsent = true
	if out := h.merge("bot", third); out.Version != 2 {
		t.Errorf("a merge that changed nothing made version %d", out.Version)
	}
	if got := h.secretsOf("bot"); got["POSTGRES_PASSWORD"] != "the-first-one-stays" || got["SECRET_KEY"] != "new" {
		t.Errorf("%v", got)
	}
	if out := h.merge("bot", given("POSTGRES_PASSWORD", "changed")); out.Known["POSTGRES_PASSWORD"].Type != vault.SecretInfra {
		t.Error("a value given anew changed the type")
	}
}

// The earlier system lost a token when two merges came at once, and generated a password twice.
func TestParallelMergesLoseNothing(t *testing.T) {
	for _, n := range []int{5, 200} {
		t.Run(fmt.Sprint(n), func(t *testing.T) { parallelMerges(t, newHouse(t), n) })
	}
}

func parallelMerges(t *testing.T, h *house, n int) {
	h.project("bot")
	_, err := h.EditProject(ctx, operator, "bot", vault.ProjectEdit{Config: map[string]json.RawMessage{"modules": json.RawMessage(`["backend"]`)}})
	must(t, err)
	var wg sync.WaitGroup
	errs := make([]error, 2*n)
	inserted := make([]bool, n)
	for i := range n {
		wg.Go(func() {
			_, errs[i] = h.MergeProjectSecrets(ctx, operator, "bot", given(fmt.Sprint("KEY_", i), fmt.Sprint("value-", i)))
		})
		wg.Go(func() {
			m := given("POSTGRES_PASSWORD", fmt.Sprint("generated-", i))
			m.IfAbsent = true
			out, err := h.MergeProjectSecrets(ctx, operator, "bot", m)
			errs[n+i], inserted[i] = err, err == nil && len(out.Existed) == 0
		})
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	got := h.secretsOf("bot")
	for i := range n {
		if got[fmt.Sprint("KEY_", i)] != fmt.Sprint("value-", i) {
			t.Errorf("KEY_%d is lost", i)
		}
		if inserted[i] && got["POSTGRES_PASSWORD"] != fmt.Sprint("generated-", i) {
			t.Errorf("%d was told that its password is the one, and it is %s", i, got["POSTGRES_PASSWORD"])
		}
	}
	if len(got) != n+1 || len(slices.DeleteFunc(inserted, func(b bool) bool { return !b })) != 1 {
		t.Errorf("%d names, %d inserted", len(got), len(inserted))
	}
	p, err := h.ViewProject(ctx, operator, "bot")
	must(t, err)
	if string(p.Config["modules"]) != `["backend"]` || p.Version != uint64(n)+2 {
		t.Errorf("%s, version %d", p.Config["modules"], p.Version)
	}
	log, st := h.Audit()
	must(t, st.View(ctx, func(tx store.Tx) error {
		merges, _, err := log.List(tx, audit.Filter{Action: audit.SecretMerge, Limit: 1000})
		if len(merges) != n+1 {
			t.Errorf("%d merges, and %d on record", n+1, len(merges))
		}
		return err
	}))
	must(t, h.Verify(ctx))
}

// A ciphertext moved to another name, project or version does not open.
func TestSealedSecretsStayInTheirPlace(t *testing.T) {
	h := newHouse(t)
	p, q := h.project("bot"), h.project("other")
	h.merge("bot", given("A", "of-a", "B", "of-b"))
	_, sealed, err := h.SealedProjectSecrets(ctx, operator, "bot", []string{"A", "NONE"})
	must(t, err)
	a := sealed["A"]
	if len(sealed) != 1 || a.Ref.ID != p.ID || a.Ref.Field != "A" || !strings.HasPrefix(a.Sealed, "zvh1:") {
		t.Fatalf("%+v", sealed)
	}
	for _, change := range []func(){func() { a.Ref.Field = "B" }, func() { a.Ref.Version++ }, func() { a.Ref.ID = q.ID }, func() { a.Ref.Type = "resource" }} {
		was := a
		change()
		if _, err := h.opener.Open(a.Ref, a.Sealed); fault.CodeOf(err) != fault.RecordTampered {
			t.Errorf("%+v opened: %v", a.Ref, err)
		}
		a = was
	}
}

// prober answers for a service.
type prober struct {
	err   error
	asked []string
}

func (p *prober) Probe(ctx context.Context, kind, field string, v secret.Secret) error {
	if _, bounded := ctx.Deadline(); !bounded {
		return errors.New("no time limit")
	}
	p.asked = append(p.asked, kind+"."+field+" "+string(v.Reveal()))
	return p.err
}

// What has the shape of a bot's token is one, under whatever name: its format must hold, and where Telegram can be asked, it is.
func TestBotTokensAreAskedFor(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	if out := h.merge("bot", given("ANY_NAME", botToken+"\n")); out.Known["ANY_NAME"].Check != vault.CheckUnverified {
		t.Errorf("%+v", out.Known)
	}
	if h.secretsOf("bot")["ANY_NAME"] != botToken {
		t.Error("the line's end stayed")
	}
	p := &prober{}
	v, err := vault.Open(ctx, vault.Options{Store: h.store, Keyring: h.k, Opener: h.opener, Clock: h.clock, Probe: p, Writer: "second"})
	must(t, err)
	defer v.Close(ctx)
	for _, x := range []struct {
		err   error
		code  fault.Code
		check string
	}{
		{nil, "", vault.CheckVerified},
		{fault.New(fault.SecretInvalid, "no", ""), fault.SecretInvalid, ""},
		{fault.New(fault.ProviderUnavailable, "away", ""), "", vault.CheckUnverified},
		{context.DeadlineExceeded, "", vault.CheckUnverified},
	} {
		p.err = x.err
		out, err := v.MergeProjectSecrets(ctx, operator, "bot", given("TELEGRAM_BOT_TOKEN", botToken, "PLAIN", "not asked for"))
		if fault.CodeOf(err) != x.code || out.Known["TELEGRAM_BOT_TOKEN"].Check != x.check {
			t.Errorf("%v: %v, %+v", x.err, err, out.Known)
		}
	}
	if !slices.Equal(p.asked, slices.Repeat([]string{"telegram_bot.token " + botToken}, 4)) {
		t.Errorf("asked %q", p.asked)
	}
	_, err = v.MergeProjectSecrets(ctx, operator, "none", given("A", botToken))
	wantCode(t, err, fault.UnknownProject)
	many := vault.SecretMerge{Secrets: map[string]vault.SecretChange{}}
	for i := range 9 {
		many.Secrets[fmt.Sprint("T", i)] = vault.SecretChange{Value: secret.FromString(botToken)}
	}
	_, err = v.MergeProjectSecrets(ctx, operator, "bot", many)
	must(t, err)
	if len(p.asked) != 8 {
		t.Errorf("asked %d times: for a project that is not there, or for more than four values of a merge", len(p.asked))
	}
}
