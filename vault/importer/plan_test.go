package importer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/importer"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

func item(name, value string) importer.Item {
	return importer.Item{Name: name, Secrets: map[string]secret.Secret{"value": secret.FromString(value)}, Where: name}
}

func proposed(ds []importer.Draft) string {
	var lines []string
	for _, d := range ds {
		line := fmt.Sprintf("%s %s %s %v", d.Kind, d.Handle, d.Project, d.Fields())
		if d.Out != "" {
			line = "out: " + d.Out
		}
		if d.Problem != nil {
			line = string(d.Problem.Code)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

const bot = "123456789:AAExampleToken0mYcVtR2sWbE8uKpJdH1oGiX"

func TestPlan(t *testing.T) {
	ds, err := importer.Plan([]importer.Item{
		item("BOT", bot), item("SESSION_SECRET", "some-session-secret"), item("Session Secret", "some-other-secret"), item("EMPTY", "  "),
		item("Почта (рабочая)", "a-mail-password"), item("", "nameless-secret-value"), item(bot, "another-secret-value"),
		item("PORT", "25"), {Kind: "generic", Handle: "session_secret", Secrets: map[string]secret.Secret{"value": secret.FromString("the-source-names-it")}},
	}, importer.Naming{})
	want := `telegram_bot bot default [token]
generic session_secret_2 default [value]
generic session_secret_3 default [value]
out: it is empty
generic pochta_rabochaya default [value]
generic imported default [value]
generic imported_2 default [value]
generic port default [value]
generic session_secret default [value]`
	if err != nil || proposed(ds) != want {
		t.Errorf("%v\n%s", err, proposed(ds))
	}
	if d := ds[1]; d.Attrs["env"] != "SESSION_SECRET" {
		t.Errorf("its variable is %v", d.Attrs)
	}
	if d := ds[6]; d.Source != "" || d.Where != "" || strings.Contains(fmt.Sprint(d.Attrs, d.Notes), "AAExample") {
		t.Errorf("a value in the place of a name is shown: %v", d)
	}
}

func TestPlanNaming(t *testing.T) {
	items := func() []importer.Item {
		x := item("KEY", "value-of-project-b")
		x.Project = "b"
		return []importer.Item{item("KEY", "value-of-no-project"), x, item("OTHER", "some-other-value")}
	}
	ds, err := importer.Plan(items(), importer.Naming{Project: "shop", Prefix: "old_", Map: map[string]string{"OTHER": "kept"}})
	if want := "generic old_shop_key shop [value]\ngeneric old_b_key b [value]\ngeneric kept shop [value]"; err != nil || proposed(ds) != want {
		t.Errorf("%v\n%s", err, proposed(ds))
	}
	ds, err = importer.Plan(items(), importer.Naming{Map: map[string]string{"KEY": ""}})
	if want := "out: left out by --map\nout: left out by --map\ngeneric other default [value]"; err != nil || proposed(ds) != want {
		t.Errorf("%v\n%s", err, proposed(ds))
	}
	given := items()
	_, err = importer.Plan(given, importer.Naming{Map: map[string]string{"NOT_THERE": "x"}})
	wantCode(t, err, fault.InvalidArgument)
	if v := given[0].Secrets["value"]; !v.IsZero() {
		t.Error("a refused plan left a value in memory")
	}
	_, err = importer.Plan(items(), importer.Naming{Map: map[string]string{"KEY": "No Handle"}})
	wantCode(t, err, fault.InvalidArgument)
	ds, err = importer.Plan(items(), importer.Naming{Map: map[string]string{"KEY": "same"}})
	if want := "generic same default [value]\nhandle_taken\ngeneric other default [value]"; err != nil || proposed(ds) != want {
		t.Errorf("%v\n%s", err, proposed(ds))
	}
}

// What looks like something and is not valid as such stays what it is: a value.
func TestPlanFallsBack(t *testing.T) {
	ds, err := importer.Plan([]importer.Item{item("DATABASE_URL", "postgres://app:short@db.example/app"), item("OPENAI_API_KEY", "short"),
		{Kind: "server", Handle: "box", Secrets: map[string]secret.Secret{"host": secret.FromString("203.0.113.9")}}}, importer.Naming{})
	if want := "generic database_url default [value]\ngeneric openai_api_key default [value]\nsecret_missing"; err != nil || proposed(ds) != want {
		t.Errorf("%v\n%s", err, proposed(ds))
	}
	if len(ds[0].Notes) == 0 || !strings.Contains(ds[0].Notes[0], "it looks like database") || strings.Contains(fmt.Sprint(ds), "db.example") {
		t.Errorf("notes %v", ds[0].Notes)
	}
}

// Fields of a login get variables of their own, under its title.
func TestPlanOfALogin(t *testing.T) {
	items, err := importer.ReadCSV([]byte("Title,Url,Username,Password,OTPAuth,Notes\n\"GitHub (work)\",https://github.com,octo,my-password-1,otpauth://totp/x,\n"))
	if err != nil {
		t.Fatal(err)
	}
	ds, err := importer.Plan(items, importer.Naming{})
	if want := "generic github_work default [totp username value]"; err != nil || proposed(ds) != want {
		t.Fatalf("%v\n%s", err, proposed(ds))
	}
	if got := fmt.Sprint(ds[0].Attrs); got != "map[env:GITHUB_WORK env_totp:GITHUB_WORK_TOTP env_username:GITHUB_WORK_USERNAME]" {
		t.Error(got)
	}
}

// FuzzRead feeds every reader: whatever comes in, nothing panics, and what comes out of the plan is valid.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"A=1\nB=\"x\n\"", `{"a":{"b":["c",1,true,null]}}`, "a: [x, {b: c}]\n", "Title,Password\na,\"b\"\n", goldenTokens[0], `{"config":{"secrets":{"A":"` + goldenTokens[0] + `"}}}`,
		`{"encrypted":false,"items":[{"type":1,"name":"x","login":{"password":"y"}}]}`, `{"accounts":[{"vaults":[{"items":[{"categoryUuid":"001","details":{"password":"x"}}]}]}]}`, "PK\x03\x04",
		"resources:\n  x:\n    kind: generic\n    value: y\n", "\xff\xfeA\x00=\x001\x00"} {
		for i := range importer.Formats() {
			f.Add([]byte(seed), i)
		}
	}
	k := keys(f, goldenKey)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		if at < 0 || at >= len(importer.Formats()) {
			return
		}
		format := importer.Formats()[at]
		if text, err := importer.Text(b); err == nil {
			b = text
		} else if format != importer.OnePasswordX {
			return
		}
		if format == importer.Auto {
			format = importer.Detect(b)
		}
		items, err := importer.Read(b, importer.Options{Format: format, Keys: k})
		if err != nil {
			if len(items) > 0 {
				t.Error("an error came with items")
			}
			return
		}
		n := len(items)
		ds, err := importer.Plan(items, importer.Naming{Project: "shop", Prefix: "x_"})
		if err != nil || len(ds) != n {
			t.Fatalf("%d items gave %d drafts, %v", n, len(ds), err)
		}
		taken := map[string]bool{}
		for _, d := range ds {
			if d.Out != "" || d.Problem != nil {
				continue
			}
			if taken[d.Handle] || d.Handle == "" {
				t.Errorf("the handle %q is there twice, or none", d.Handle)
			}
			taken[d.Handle] = true
			kd, err := kind.Get(d.Kind)
			if err == nil {
				_, err = kd.Validate(d.Attrs, d.Secrets)
			}
			if err != nil {
				t.Errorf("a draft is not valid: %v", err)
			}
			if _, looks := kind.LooksSecret(d.Handle + " " + d.Source + " " + d.Where); looks {
				t.Error("a name that looks like a secret is shown")
			}
		}
	})
}
