package exporter_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/exporter"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/importer"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
)

const (
	bot = "123456789:AAExampleToken0mYcVtR2sWbE8uKpJdH1oGiX"
	url = "postgres://app:hunter2hunter2@db.example/app"
)

// add puts one resource into the house.
func (h *house) add(t *testing.T, n vault.NewResource, secrets ...string) {
	t.Helper()
	n.Secrets = map[string]secret.Secret{}
	for i := 0; i < len(secrets); i += 2 {
		n.Secrets[secrets[i]] = secret.FromString(secrets[i+1])
	}
	_, err := h.AddResource(ctx, vault.OperatorActor(), n)
	must(t, err)
}

// A file of names and values gives back, byte by byte, what a program gets of the resources of a project: every variable, the public ones too, and those alone.
func TestFilesOfNamesAndValuesComeBackWhole(t *testing.T) {
	helper := sopstest.Helper(t)
	h, x := houseWith(t, helper)
	_, err := h.AddProject(ctx, vault.OperatorActor(), "shop", "")
	must(t, err)
	h.add(t, vault.NewResource{Kind: "generic", Handle: "one", Project: "shop", Attrs: map[string]string{"env": "ONE", "env_more": "ONE_MORE"}, Labels: map[string]string{"team": "red"}}, "value", odd, "more", " blanks around it, and an = ")
	h.add(t, vault.NewResource{Kind: "telegram_bot", Handle: "weather", Project: "shop", Attrs: map[string]string{"username": "@weather_bot"}}, "token", bot)
	h.add(t, vault.NewResource{Kind: "database", Handle: "db", Project: "shop"}, "url", url)
	reader := sopstest.NewPerson(t)
	want := []string{"DATABASE_URL=" + url, "ONE=" + odd, "ONE_MORE= blanks around it, and an = ", "TELEGRAM_BOT_TOKEN=" + bot, "TELEGRAM_BOT_USERNAME=weather_bot"}
	for format, name := range map[exporter.Format]string{exporter.SOPSDotenv: "x.env", exporter.SOPSINI: "x.ini"} {
		out, err := x.Export(ctx, vault.OperatorActor(), exporter.Request{Refs: []string{"one", "weather", "db"}, To: []string{reader.Recipient()}, Format: format})
		must(t, err)
		for _, clear := range []string{"hunter2", "AAExample", "blanks", "quoted"} {
			if strings.Contains(string(out.File), clear) {
				t.Errorf("%s shows %s", format, clear)
			}
		}
		_, tree, err := sops.New(sops.Options{Helper: helper}).Open(ctx, name, out.File, []age.Identity{reader.Identity})
		must(t, err)
		items, err := importer.FromTree(tree, strings.TrimPrefix(string(format), "sops-"), "")
		must(t, err)
		var got []string
		for _, i := range items {
			got = append(got, i.Name+"="+string(i.Secrets["value"].Reveal()))
		}
		if slices.Sort(got); !slices.Equal(got, want) || !slices.Equal(out.Handles, []string{"one", "weather", "db"}) {
			t.Errorf("%s of %v:\n%q", format, out.Handles, got)
		}
	}
	h.wiped(t, 8)
}

// What a file of names and values would lose, or give one name, is refused, and the fault says which.
func TestFilesOfNamesAndValuesLoseNothing(t *testing.T) {
	h, x := houseWith(t, sopstest.Helper(t))
	_, err := h.AddProject(ctx, vault.OperatorActor(), "shop", "")
	must(t, err)
	h.add(t, vault.NewResource{Kind: "generic", Handle: "here", Attrs: map[string]string{"env": "HERE"}}, "value", "some-value-here")
	h.add(t, vault.NewResource{Kind: "generic", Handle: "again", Attrs: map[string]string{"env": "HERE"}}, "value", "some-other-value")
	h.add(t, vault.NewResource{Kind: "generic", Handle: "there", Project: "shop", Attrs: map[string]string{"env": "THERE"}}, "value", "some-value-there")
	h.add(t, vault.NewResource{Kind: "server", Handle: "box", Attrs: map[string]string{"user": "root"}}, "host", "203.0.113.9", "password", "root-password-1")
	to := []string{sopstest.NewPerson(t).Recipient()}
	for _, format := range []exporter.Format{exporter.SOPSDotenv, exporter.SOPSINI} {
		for _, c := range []struct {
			refs []string
			code fault.Code
			says string
		}{
			{[]string{"here", "there"}, fault.NotSupported, "of several"},
			{[]string{"there", "here"}, fault.NotSupported, "of several"},
			{[]string{"here", "box"}, fault.NotSupported, "the field host of box"},
			{[]string{"here", "again"}, fault.NameTaken, "one variable"},
		} {
			out, err := x.Export(ctx, vault.OperatorActor(), exporter.Request{Refs: c.refs, To: to, Format: format})
			if fault.CodeOf(err) != c.code || !strings.Contains(fmt.Sprint(err), c.says) || strings.Contains(fmt.Sprint(err), "some-") || len(out.File) != 0 || out.Handles != nil {
				t.Errorf("%s of %v: %v, %v", format, c.refs, out.Handles, err)
			}
		}
	}
	if len(h.noted) != 0 {
		t.Errorf("refused exports were recorded as made: %v", h.noted)
	}
	h.wiped(t, 16)
}
