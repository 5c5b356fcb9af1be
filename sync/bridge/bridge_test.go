package bridge_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/sync/bridge"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/importer"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/vaulttest"
)

var (
	server   *postgrestest.Server
	operator = vault.OperatorActor()
	must     = vaulttest.Must
)

func TestMain(m *testing.M) {
	var err error
	if server, err = postgrestest.New(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	server.Close()
	os.Exit(code)
}

const (
	shopID = "2b1c4c1e-6f7a-4a64-9a35-0f7c9be1d0aa"
	botID  = "7d0f4c1e-6f7a-4a64-9a35-0f7c9be1d0bb"
)

var fernetKey = base64.URLEncoding.EncodeToString([]byte("0123456789abcdefFEDCBA9876543210"))

// house is a vault, and a table of the earlier system.
type house struct {
	*vault.Vault
	*bridge.Bridge
	in   *vaulttest.House
	t    *testing.T
	conn *pgx.Conn
	keys importer.FernetKeys
}

func newHouse(t *testing.T, column string) *house {
	t.Helper()
	ident, err := age.GenerateX25519Identity()
	must(t, err)
	h := &house{in: vaulttest.New(t, vaulttest.Options{}, ident.Recipient()), t: t}
	h.Vault = h.in.Vault
	h.Bridge = bridge.New(bridge.Options{Vault: h.Vault, Opener: h.in.Opener, Log: slog.New(slog.DiscardHandler)})
	h.SetMirror(h.Changed)
	h.keys, err = importer.ParseFernetKeys([]byte(fernetKey))
	must(t, err)
	h.conn, err = pgx.Connect(t.Context(), server.URL("sslmode=disable"))
	must(t, err)
	t.Cleanup(func() { must(t, h.conn.Close(context.Background())) })
	h.sql(`DROP TABLE IF EXISTS projects`)
	h.sql(`CREATE TABLE projects (id uuid PRIMARY KEY, title varchar(255), slug varchar(40), status text, config ` + column + `)`)
	h.sql(`INSERT INTO projects VALUES ($1, 'The shop', 'shop', 'active', $2), ($3, NULL, 'weather-bot', 'active', $4), (gen_random_uuid(), '', 'empty', 'draft', NULL), (gen_random_uuid(), '', 'Bad Slug', 'draft', '{}')`,
		shopID, h.config("STRIPE_SECRET", "of-the-shop-1", "DB_PASSWORD", "of-the-shop-2"), botID, h.config("OPENAI_API_KEY", "of-the-bot-1", "BAD-NAME", "of-the-bot-2"))
	return h
}

func (h *house) sql(q string, args ...any) {
	h.t.Helper()
	_, err := h.conn.Exec(context.Background(), q, args...)
	must(h.t, err)
}

func (h *house) token(value string) string {
	h.t.Helper()
	token, err := h.keys.Seal(secret.FromString(value), time.Now())
	must(h.t, err)
	return token
}

// config is one of the earlier system's: secrets, hints, and keys that are nobody's affair.
func (h *house) config(kv ...string) string {
	secrets := map[string]any{"BROKEN": "gAAAAA-no-token", "ODD": 7}
	for i := 0; i < len(kv); i += 2 {
		secrets[kv[i]] = h.token(kv[i+1])
	}
	b, err := json.Marshal(map[string]any{"secrets": secrets, "env_hints": map[string]string{kv[0]: "a hint"}, "modules": []string{"backend"}, "bot_access": map[string]any{"mode": "all"}})
	must(h.t, err)
	return string(b)
}

// there opens what the table has of a project, and gives the rest of its config.
func (h *house) there(id string) (secrets map[string]string, rest string) {
	h.t.Helper()
	var text string
	must(h.t, h.conn.QueryRow(context.Background(), `SELECT config::text FROM projects WHERE id = $1`, id).Scan(&text))
	var config map[string]json.RawMessage
	must(h.t, json.Unmarshal([]byte(text), &config))
	var tokens map[string]any
	must(h.t, json.Unmarshal(config["secrets"], &tokens))
	secrets = map[string]string{}
	for name, token := range tokens {
		s, _ := token.(string)
		if v, err := h.keys.Open([]byte(s)); err == nil {
			secrets[name] = string(v.Reveal())
		} else {
			secrets[name] = fmt.Sprint("?", token)
		}
	}
	delete(config, "secrets")
	b, err := json.Marshal(config)
	must(h.t, err)
	return secrets, string(b)
}

func (h *house) here(ref string) map[string]string {
	h.t.Helper()
	_, sealed, err := h.SealedProjectSecrets(h.t.Context(), operator, ref, nil)
	must(h.t, err)
	out := map[string]string{}
	for name, s := range sealed {
		v, err := h.in.Opener.Open(s.Ref, s.Sealed)
		must(h.t, err)
		out[name] = string(v.Reveal())
	}
	return out
}

func ask(dry bool) bridge.Request {
	return bridge.Request{Database: secret.FromString(server.URL("sslmode=disable")), Key: secret.FromString(fernetKey), DryRun: dry}
}

func (h *house) set(ref, name, value string) vault.Merged {
	h.t.Helper()
	out, err := h.MergeProjectSecrets(h.t.Context(), operator, ref, vault.SecretMerge{Secrets: map[string]vault.SecretChange{name: {Value: secret.FromString(value)}}})
	must(h.t, err)
	return out
}

// A look shows names and counts, and changes nothing, there or here.
func TestALookChangesNothing(t *testing.T) {
	for _, column := range []string{"json", "jsonb"} {
		h := newHouse(t, column)
		var before, after string
		const all = `SELECT string_agg(projects::text, '|' ORDER BY id) FROM projects`
		must(t, h.conn.QueryRow(t.Context(), all).Scan(&before))
		out, err := h.Adopt(t.Context(), operator, ask(true))
		must(t, err)
		b, err := json.Marshal(out)
		must(t, err)
		if strings.Contains(string(b), "of-the-") || strings.Contains(string(b), "gAAAA") {
			t.Errorf("the look shows values: %s", b)
		}
		if out.Column != column || len(out.Projects) != 4 {
			t.Fatalf("%s", b)
		}
		shop := out.Projects[slices.IndexFunc(out.Projects, func(p bridge.Adopted) bool { return p.Slug == "shop" })]
		if shop.FormerID != shopID || !slices.Equal(shop.Secrets, []string{"DB_PASSWORD", "STRIPE_SECRET"}) || !slices.Equal(shop.Unreadable, []string{"BROKEN"}) || shop.Hints != 1 {
			t.Errorf("%+v", shop)
		}
		must(t, h.conn.QueryRow(t.Context(), all).Scan(&after))
		ps, err := h.ListProjects(t.Context())
		must(t, err)
		if st, err := h.State(t.Context()); err != nil || st.Running || before != after || len(ps) != 1 {
			t.Errorf("the look changed something: %+v, %d projects, %v", st, len(ps), err)
		}
	}
}

// While the earlier system's programs still run, they read what is changed here, under their key; what is theirs alone stays as it was.
func TestBothReadUntilTheEnd(t *testing.T) {
	for _, column := range []string{"json", "jsonb"} {
		h := newHouse(t, column)
		out, err := h.Adopt(t.Context(), operator, ask(false))
		must(t, err)
		for _, p := range out.Projects {
			if taken := p.Problem == ""; taken != (p.Slug != "Bad Slug") || taken && !p.New {
				t.Errorf("%+v", p)
			}
		}
		if got := h.here(shopID); len(got) != 2 || got["STRIPE_SECRET"] != "of-the-shop-1" || got["DB_PASSWORD"] != "of-the-shop-2" {
			t.Errorf("by its former id: %v", got)
		}
		if got := h.here("weather-bot"); len(got) != 1 || got["OPENAI_API_KEY"] != "of-the-bot-1" {
			t.Errorf("%v", got)
		}
		v, err := h.ViewProject(t.Context(), operator, "shop")
		must(t, err)
		if string(v.Config["modules"]) != `["backend"]` || v.EnvHints["STRIPE_SECRET"] != "a hint" || v.Title != "The shop" {
			t.Errorf("%+v", v)
		}

		_, rest := h.there(shopID)
		if out := h.set("shop", "STRIPE_SECRET", "changed-here"); out.Late {
			t.Error("the change is late")
		}
		h.set(shopID, "FRESH", "new-here")
		secrets, after := h.there(shopID)
		if secrets["STRIPE_SECRET"] != "changed-here" || secrets["FRESH"] != "new-here" || secrets["DB_PASSWORD"] != "of-the-shop-2" || secrets["BROKEN"] != "?gAAAAA-no-token" || secrets["ODD"] != "?7" || after != rest {
			t.Errorf("%v\n%s\n%s", secrets, rest, after)
		}
		h.set("default", "A", "of nobody there")

		again, err := h.Adopt(t.Context(), operator, ask(false))
		must(t, err)
		if got := h.here("shop"); got["STRIPE_SECRET"] != "changed-here" || slices.ContainsFunc(again.Projects, func(p bridge.Adopted) bool { return p.New }) {
			t.Errorf("a second adoption: %v, %+v", got, again)
		}
		must(t, h.Finish(t.Context(), operator, false))
		h.set("shop", "STRIPE_SECRET", "after-the-end")
		if secrets, _ := h.there(shopID); secrets["STRIPE_SECRET"] != "changed-here" {
			t.Error("it is written there after the end")
		}
		if _, there, err := h.Vault.Bridge(t.Context()); err != nil || there {
			t.Errorf("the key is not forgotten: %v", err)
		}
		must(t, h.Verify(t.Context()))
	}
}

// TestParallelChangesReachTheTable: under the row's lock, the second of two writes has both changes.
func TestParallelChangesReachTheTable(t *testing.T) {
	h := newHouse(t, "jsonb")
	_, err := h.Adopt(t.Context(), operator, ask(false))
	must(t, err)
	var wg sync.WaitGroup
	const n = 20
	for i := range n {
		wg.Go(func() { h.set("shop", fmt.Sprint("KEY_", i), fmt.Sprint("value-", i)) })
	}
	wg.Wait()
	secrets, _ := h.there(shopID)
	for i := range n {
		if secrets[fmt.Sprint("KEY_", i)] != fmt.Sprint("value-", i) {
			t.Errorf("KEY_%d is not there", i)
		}
	}
}

// TestATableThatIsAway: the change is durable here, said to be late there, and written when the table is back; the end waits for it.
func TestATableThatIsAway(t *testing.T) {
	h := newHouse(t, "jsonb")
	_, err := h.Adopt(t.Context(), operator, ask(false))
	must(t, err)
	h.sql(`ALTER TABLE projects RENAME TO away`)
	if out := h.set("shop", "STRIPE_SECRET", "changed-here"); !out.Late || h.here("shop")["STRIPE_SECRET"] != "changed-here" {
		t.Errorf("%+v", out)
	}
	if err := h.Finish(t.Context(), operator, false); fault.CodeOf(err) != fault.ResourceBusy {
		t.Errorf("the end does not wait: %v", err)
	}
	if st, err := h.State(t.Context()); err != nil || st.Late != 3 || !st.Running {
		t.Errorf("%+v %v", st, err)
	}
	h.sql(`ALTER TABLE away RENAME TO projects`)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if secrets, _ := h.there(shopID); secrets["STRIPE_SECRET"] == "changed-here" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is not written when the table is back")
		}
	}
	cancel()
	<-done
	must(t, h.Finish(t.Context(), operator, false))
}

// TestALookTellsWhatBecomes: what a look says of each project is what the adoption then does; a project of ours that has the slug is named.
func TestALookTellsWhatBecomes(t *testing.T) {
	h := newHouse(t, "jsonb")
	_, err := h.AddProject(t.Context(), operator, "shop", "ours")
	must(t, err)
	h.set("shop", "DB_PASSWORD", "of-ours-here")
	h.set("shop", "OURS", "of-ours-alone")
	for range 2 { // of one slug
		h.sql(`INSERT INTO projects (id, slug, title, config) VALUES (gen_random_uuid(), 'twice', 't', $1)`, h.config("A_SECRET", "of-two-rows"))
	}
	look, err := h.Adopt(t.Context(), operator, ask(true))
	must(t, err)
	done, err := h.Adopt(t.Context(), operator, ask(false))
	must(t, err)
	if fmt.Sprint(look.Projects) != fmt.Sprint(done.Projects) {
		t.Errorf("it says\n%+v\nand does\n%+v", look.Projects, done.Projects)
	}
	of := func(slug string) bridge.Adopted {
		return look.Projects[slices.IndexFunc(look.Projects, func(p bridge.Adopted) bool { return p.Slug == slug })]
	}
	if p := of("shop"); !p.Joined || p.New || !slices.Equal(p.Kept, []string{"DB_PASSWORD"}) {
		t.Errorf("%+v", p)
	}
	if p := of("weather-bot"); p.Joined || !p.New || !slices.Equal(p.Refused, []string{"BAD-NAME"}) {
		t.Errorf("%+v", p)
	}
	if p := of("Bad Slug"); p.Problem == "" {
		t.Errorf("%+v", p)
	}
	look, err = h.Adopt(t.Context(), operator, ask(true))
	must(t, err)
	if p := of("shop"); p.Joined || p.New || len(p.Kept) != 2 {
		t.Errorf("what was adopted: %+v", p)
	}
}

// TestWhatAnotherDaemonLeft: a daemon knows what the table lacks of another's changes; it does not end the adoption over them, and writes them.
func TestWhatAnotherDaemonLeft(t *testing.T) {
	h := newHouse(t, "jsonb")
	_, err := h.Adopt(t.Context(), operator, ask(false))
	must(t, err)
	other := bridge.New(bridge.Options{Vault: h.Vault, Opener: h.in.Opener, Log: slog.New(slog.DiscardHandler)})
	late := func(want int) {
		t.Helper()
		if st, err := other.State(t.Context()); err != nil || st.Late != want || !st.Running {
			t.Errorf("%+v %v, not %d", st, err, want)
		}
	}
	late(0)
	h.sql(`ALTER TABLE projects RENAME TO away`)
	if out := h.set("shop", "STRIPE_SECRET", "changed-here"); !out.Late {
		t.Errorf("%+v", out)
	}
	late(3) // nobody can look
	if err := other.Finish(t.Context(), operator, false); fault.CodeOf(err) != fault.ResourceBusy {
		t.Errorf("the end does not wait: %v", err)
	}
	h.sql(`ALTER TABLE away RENAME TO projects`)
	late(1)
	must(t, other.Finish(t.Context(), operator, false))
	if secrets, _ := h.there(shopID); secrets["STRIPE_SECRET"] != "changed-here" {
		t.Errorf("the change of another daemon is lost: %v", secrets)
	}
}

// TestOneTableAtATime: an address from a file that ends with a line end is one; another table beside the one that is written to is refused, not taken in its place.
func TestOneTableAtATime(t *testing.T) {
	h := newHouse(t, "jsonb")
	in := func(table string) bridge.Request {
		return bridge.Request{Database: secret.FromString(server.URL("sslmode=disable") + "\n"), Key: secret.FromString(fernetKey + "\n"), Table: table}
	}
	for range 2 {
		_, err := h.Adopt(t.Context(), operator, in(""))
		must(t, err)
	}
	if out := h.set("shop", "STRIPE_SECRET", "changed-here"); out.Late {
		t.Error("the change is late")
	}
	h.sql(`DROP TABLE IF EXISTS others`)
	h.sql(`CREATE TABLE others AS SELECT * FROM projects WHERE false`)
	if _, err := h.Adopt(t.Context(), operator, in("others")); fault.CodeOf(err) != fault.ResourceBusy {
		t.Errorf("a second table: %v", err)
	}
	must(t, h.Finish(t.Context(), operator, false))
	_, err := h.Adopt(t.Context(), operator, in("others"))
	must(t, err)
	for range 5 { // and neither of two that are adopted at the same moment takes the other's place
		must(t, h.Finish(t.Context(), operator, false))
		tables, errs := []string{"", "others"}, make([]error, 2)
		var both sync.WaitGroup
		for i, table := range tables {
			both.Go(func() { _, errs[i] = h.Adopt(t.Context(), operator, in(table)) })
		}
		both.Wait()
		first := slices.Index(errs, nil)
		if first < 0 || fault.CodeOf(errs[1-first]) != fault.ResourceBusy {
			t.Fatalf("%v", errs)
		}
		if st, err := h.State(t.Context()); err != nil || st.Table != cmp.Or(tables[first], bridge.DefaultTable) {
			t.Errorf("%+v, not the table of the first: %v", st, err)
		}
	}
	h.sql(`DROP TABLE others`)
}

// TestAttack65_WhatIsGivenIsNotRepeated: no refusal holds the address, the password or the key.
func TestAttack65_WhatIsGivenIsNotRepeated(t *testing.T) {
	h := newHouse(t, "jsonb")
	value := func(s string) secret.Secret { return secret.FromString(s) }
	const canary = "canary-password-7Qx"
	for what, x := range map[string]struct {
		in   bridge.Request
		code fault.Code
	}{
		"a wrong password":        {bridge.Request{Database: value(server.URLOf(postgrestest.User, canary, "sslmode=disable")), Key: value(fernetKey)}, fault.ProviderUnavailable},
		"no address":              {bridge.Request{Database: value("postgres://u:" + canary + "@[::1"), Key: value(fernetKey)}, fault.InvalidArgument},
		"nobody there":            {bridge.Request{Database: value("postgres://u:" + canary + "@127.0.0.1:1/x"), Key: value(fernetKey)}, fault.ProviderUnavailable},
		"no key":                  {bridge.Request{Database: value(server.URL("sslmode=disable")), Key: value(canary)}, fault.InvalidArgument},
		"a table that is none":    {bridge.Request{Database: value(server.URL("sslmode=disable")), Key: value(fernetKey), Table: "nothing_here"}, fault.InvalidArgument},
		"a table that is a trick": {bridge.Request{Database: value(server.URL("sslmode=disable")), Key: value(fernetKey), Table: `projects"; DROP TABLE projects; --`}, fault.InvalidArgument},
		"another table":           {bridge.Request{Database: value(server.URL("sslmode=disable")), Key: value(fernetKey), Table: "pg_catalog.pg_class"}, fault.InvalidArgument},
	} {
		_, err := h.Adopt(t.Context(), operator, x.in)
		if fault.CodeOf(err) != x.code || strings.Contains(fmt.Sprint(err), canary) {
			t.Errorf("%s: %v", what, err)
		}
	}
	other := func(dry bool) bridge.Request {
		in := ask(dry)
		in.Key = value(base64.URLEncoding.EncodeToString([]byte(strings.Repeat("x", 32))))
		return in
	}
	if _, err := h.Adopt(t.Context(), operator, other(false)); fault.CodeOf(err) != fault.WrongIdentity {
		t.Errorf("another key: %v", err)
	}
	out, err := h.Adopt(t.Context(), operator, other(true))
	must(t, err)
	for _, p := range out.Projects {
		if len(p.Secrets) != 0 {
			t.Errorf("another key opened %v", p.Secrets)
		}
	}
}

// TestAttack65_NobodyOnTheWayToTheTable: an address whose way others could answer on is not dialled, whatever it is asked for; a person can say that it is safe.
func TestAttack65_NobodyOnTheWayToTheTable(t *testing.T) {
	h := newHouse(t, "jsonb")
	for _, address := range []string{
		"postgres://app:word@192.0.2.1/shop", "postgres://app:word@192.0.2.1/shop?sslmode=require", "postgres://app:word@192.0.2.1/shop?sslmode=disable",
		"postgres://app:word@127.0.0.1,192.0.2.1/shop?sslmode=prefer", "host=192.0.2.1 user=app password=word dbname=shop",
	} {
		_, err := h.Adopt(t.Context(), operator, bridge.Request{Database: secret.FromString(address), Key: secret.FromString(fernetKey), DryRun: true})
		f := fault.Of(err)
		if f.Code != fault.InvalidArgument || !strings.Contains(f.Message, "others could read") || strings.Contains(f.Message+f.Next, "word") {
			t.Errorf("%s: %v", address, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it is dialled: nothing answers at that address
	for _, address := range []string{"postgres://app:word@192.0.2.1/shop?sslmode=verify-full", "postgres://app:word@192.0.2.1/shop?zavhoz_insecure=yes"} {
		_, err := h.Adopt(ctx, operator, bridge.Request{Database: secret.FromString(address), Key: secret.FromString(fernetKey), DryRun: true})
		if fault.CodeOf(err) != fault.ProviderUnavailable {
			t.Errorf("%s: %v", address, err)
		}
	}
}
