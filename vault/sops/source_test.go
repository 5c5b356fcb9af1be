package sops_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

const botToken = "1234567890:AAabcdefghijklmnopqrstuvwxyz012345678"

const layoutText = `telegram_bots:
    weather:
        name: weather_bot
        token: ` + botToken + `
servers:
    prod_vps_1:
        host: 203.0.113.7
        password: correct-horse-battery
api_keys:
    openai:
        key: sk-abcdefghijklmnopqrstuvwx
    github_main: ghp_abcdefghijklmnopqrstuvwxyz0123456789
domains:
    example.org:
        token: cf_abcdefghijklmnopqrstuvwxyz0123456789
databases:
    main: postgres://app:hunter2hunter2@db.example:5432/app
resources:
    smtp:
        kind: generic
        project: shop
        labels:
            env_unencrypted: prod
        value: some-smtp-password
    odd:
        kind: no_such_kind
        value: some-value-here
projects:
    shop:
        env_hints:
            STRIPE_KEY: from the dashboard
        secrets:
            STRIPE_KEY: sk_live_abcdefghijklmnop
            DEBUG: false
nonsense: 1
`

// encrypted makes a file of text with the real sops, mode 0600.
func encrypted(t testing.TB, p *sopstest.Person, name, text string) string {
	t.Helper()
	path := filepath.Join(p.Dir, name)
	write(t, path, []byte(text), 0o600)
	p.Sops(p.Dir, "encrypt", "--in-place", "--age", p.Recipient(), name)
	return path
}

func newSource(t testing.TB, p *sopstest.Person, paths ...string) *sops.Source {
	t.Helper()
	o := sops.SourceOptions{Codec: newCodec(t), Identities: func(context.Context) ([]age.Identity, error) { return ids(p), nil }}
	for _, path := range paths {
		o.Files = append(o.Files, sops.FileSpec{Path: path, Project: "shop"})
	}
	s, err := sops.NewSource(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func entry(t testing.TB, set sops.Set, handle string) sops.Entry {
	t.Helper()
	for _, e := range set.Entries {
		if e.Handle == handle {
			return e
		}
	}
	t.Fatalf("there is no %s", handle)
	return sops.Entry{}
}

// The layout of older files and the general form become resources in the form that their kinds declare; a bad entry stops no other.
func TestLayoutBecomesResources(t *testing.T) {
	p := sopstest.NewPerson(t)
	s := newSource(t, p, encrypted(t, p, "secrets.yaml", layoutText))
	if err := s.States()[0].Err; err != nil {
		t.Fatal(err)
	}
	_ = s.View(func(set sops.Set) error {
		for _, want := range []struct{ handle, kind, attr, value, field, secret string }{
			{"weather", "telegram_bot", "username", "@weather_bot", "token", botToken},
			{"prod_vps_1", "server", "user", "root", "host", "203.0.113.7"},
			{"openai", "api_key", "service", "openai", "key", "sk-abcdefghijklmnopqrstuvwx"},
			{"github_main", "api_key", "service", "github", "key", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"},
			{"example.org", "domain", "zone", "example.org", "token", "cf_abcdefghijklmnopqrstuvwxyz0123456789"},
			{"main", "database", "engine", "postgres", "password", "hunter2hunter2"},
			{"smtp", "generic", "fields", "value", "value", "some-smtp-password"},
		} {
			e := entry(t, set, want.handle)
			if e.Problem != nil || e.Kind != want.kind || e.Attrs[want.attr] != want.value || string(e.Secrets[want.field].Reveal()) != want.secret {
				t.Errorf("%s: %s %v problem %v", want.handle, e.Kind, e.Attrs, e.Problem)
			}
		}
		if e := entry(t, set, "smtp"); e.Project != "shop" || e.Labels["env"] != "prod" {
			t.Errorf("smtp: project %s labels %v", e.Project, e.Labels)
		}
		if e := entry(t, set, "weather"); e.Keys["username"] != "name" {
			t.Errorf("keys: %v", e.Keys)
		}
		if e := entry(t, set, "odd"); e.Problem == nil || e.Secrets != nil || e.Kind != "" {
			t.Errorf("odd: %v", e.Problem)
		}
		if len(set.Secrets) != 2 || set.Secrets[0].Hint != "from the dashboard" || string(set.Secrets[1].Value.Reveal()) != "false" {
			t.Errorf("secrets: %+v", set.Secrets)
		}
		if len(set.Problems) != 2 || set.Problems[1].Where != "nonsense" {
			t.Errorf("problems: %+v", set.Problems)
		}
		return nil
	})
	if n := s.States()[0].Entries; n != 9 {
		t.Errorf("%d entries", n)
	}
}

// Flat files are one project's secrets.
func TestFlatFilesAreOneProjects(t *testing.T) {
	p := sopstest.NewPerson(t)
	s := newSource(t, p, encrypted(t, p, "a.env", plain["secrets.env"]), encrypted(t, p, "b.ini", plain["secrets.ini"]))
	got := map[string]string{}
	_ = s.View(func(set sops.Set) error {
		for _, x := range set.Secrets {
			got[x.Project+"."+x.Name] = string(x.Value.Reveal())
		}
		return nil
	})
	for name, want := range map[string]string{"shop.OPENAI_API_KEY": "sk-abcdefghijklmnop", "shop.MULTI": "one\ntwo", "shop.PUBLIC": "yes", "shop.openai": "sk-abcdefghijklmnop", "shop.DB_PASSWORD": "hunter2hunter2", "shop.DB_HOST": "db.example"} {
		if got[name] != want {
			t.Errorf("%s is missing or another (have %d)", name, len(got))
		}
	}
}

// A change by sops is in force within a second; a broken file leaves the last good set in force, and shows; a mended one is taken.
func TestSourceFollowsTheFile(t *testing.T) {
	p := sopstest.NewPerson(t)
	path := encrypted(t, p, "secrets.yaml", "projects:\n    shop:\n        secrets:\n            KEY: first-value\n")
	s := newSource(t, p, path)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { sops.Watch(ctx, []string{path}, 0, nil, func() { s.Refresh(ctx) }) })
	defer func() { stop(); wg.Wait() }()

	value := func() (v string) {
		_ = s.View(func(set sops.Set) error {
			for _, x := range set.Secrets {
				v = string(x.Value.Reveal())
			}
			return nil
		})
		return v
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s does not come: value of %d bytes, state %+v", what, len(value()), s.States()[0].Err)
			}
		}
	}
	if value() != "first-value" {
		t.Fatal("not loaded")
	}
	good := read(t, path)
	p.Sops(p.Dir, "set", "secrets.yaml", `["projects"]["shop"]["secrets"]["KEY"]`, `"second-value"`)
	until("the change", func() bool { return value() == "second-value" })

	lines := strings.SplitAfter(string(read(t, path)), "\n")
	var tampered strings.Builder
	for _, l := range lines {
		tampered.WriteString(strings.Replace(l, "KEY: ENC", "OTHER: ENC", 1))
	}
	write(t, path, []byte(tampered.String()), 0o600)
	until("the refusal", func() bool { return s.States()[0].Err != nil })
	if st := s.States()[0]; st.Err.Code != fault.RecordTampered || st.Since.IsZero() || value() != "second-value" || st.Entries != 1 {
		t.Errorf("state of a tampered file: %+v, value of %d bytes", st, len(value()))
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	until("the loss", func() bool { return s.States()[0].Err.Code == fault.NotInitialized })
	if value() != "second-value" {
		t.Error("a lost file took its set along")
	}
	write(t, path, good, 0o600)
	until("the old file", func() bool { return value() == "first-value" && s.States()[0].Err == nil })
	write(t, path, good, 0o622)
	until("the refusal of what others may write", func() bool { return s.States()[0].Err != nil && s.States()[0].Err.Code == fault.NotPermitted })
}

// Edit writes through: the file keeps its mode, sops reads it, the source has it at once; a field goes where the file has it.
func TestSourceEdits(t *testing.T) {
	ctx, p := context.Background(), sopstest.NewPerson(t)
	path := encrypted(t, p, "secrets.yaml", layoutText)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(p.Dir, "link.yaml")
	if err := os.Symlink("secrets.yaml", link); err != nil {
		t.Fatal(err)
	}
	s := newSource(t, p, link)
	var change wire.Change
	_ = s.View(func(set sops.Set) error {
		e := entry(t, set, "weather")
		change = put("rain_bot", append(e.Path, e.Keys["username"])...)
		return nil
	})
	if err := s.Edit(ctx, link, []wire.Change{change, put("new-value-1", "projects", "shop", "secrets", "NEW")}); err != nil {
		t.Fatal(err)
	}
	_ = s.View(func(set sops.Set) error {
		if got := entry(t, set, "weather").Attrs["username"]; got != "@rain_bot" {
			t.Errorf("username %s", got)
		}
		return nil
	})
	if st, err := os.Lstat(path); err != nil || st.Mode() != 0o640 {
		t.Errorf("mode %v %v", st.Mode(), err)
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v %v", st, err)
	}
	if got := p.Sops(p.Dir, "decrypt", "--extract", `["projects"]["shop"]["secrets"]["NEW"]`, "secrets.yaml"); got != "new-value-1" {
		t.Errorf("sops reads %q", got)
	}
	if err := os.Link(path, filepath.Join(p.Dir, "second.yaml")); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.Edit(ctx, link, nil), fault.NotSupported)
	wantCode(t, s.Edit(ctx, filepath.Join(p.Dir, "other.yaml"), nil), fault.InvalidArgument)
	loop := filepath.Join(p.Dir, "loop.yaml")
	if err := os.Symlink("loop.yaml", loop); err != nil {
		t.Fatal(err)
	}
	err := sops.Rewrite(ctx, loop, func(b []byte) ([]byte, error) { t.Error("a loop was followed"); return b, nil })
	wantCode(t, err, fault.NotPermitted)
}

// A reading of a file that did not change starts no helper: with a helper that is not there it succeeds.
func TestUnchangedFileIsNotReadAgain(t *testing.T) {
	p := sopstest.NewPerson(t)
	path := encrypted(t, p, "secrets.env", plain["secrets.env"])
	asked := 0
	s, err := sops.NewSource(context.Background(), sops.SourceOptions{Files: []sops.FileSpec{{Path: path}}, Codec: newCodec(t), Identities: func(context.Context) ([]age.Identity, error) {
		asked++
		return ids(p), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	time.Sleep(150 * time.Millisecond) // the file's own clock ticked: from now on its identity alone counts
	for range 100 {
		if s.Refresh(context.Background()) {
			t.Fatal("an unchanged file is news")
		}
	}
	if err := os.Chtimes(path, time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if s.Refresh(context.Background()) || asked != 1 {
		t.Errorf("the same content was opened again: %d times", asked)
	}
}
