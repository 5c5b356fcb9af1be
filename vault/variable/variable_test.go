package variable_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/variable"
)

var update = flag.Bool("update", false, "rewrite golden files")

// What each of some 180 names is, by which rule, and how its value is made. A change here changes what is asked of people, and what is made up.
func TestGoldenClasses(t *testing.T) {
	names, err := os.ReadFile("testdata/names.txt")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, name := range strings.Fields(string(names)) {
		v := variable.Classify(name)
		how := v.Template
		switch {
		case v.Form != "":
			how = "generated " + string(v.Form)
		case v.Of != "":
			how = "${" + v.Of + "}"
		case v.Service != "":
			how = "service " + v.Service
		}
		fmt.Fprintf(&b, "%-30s %-8s %-12s %s\n", name, v.Class, v.Rule, how)
		if v.Why == "" {
			t.Errorf("%s: no reason", name)
		}
	}
	const file = "testdata/classes.golden"
	made := strings.ReplaceAll(b.String(), " \n", "\n")
	if *update {
		if err := os.WriteFile(file, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(want), "\n") {
		if got := strings.Split(made, "\n"); i >= len(got) || got[i] != line {
			t.Fatalf("line %d was\n%s", i+1, line)
		}
	}
}

// What the earlier system made up, and what must be.
func TestWhatIsSomebodyElses(t *testing.T) {
	for _, name := range []string{"STRIPE_SECRET", "GOOGLE_CLIENT_SECRET", "AWS_SECRET_ACCESS_KEY", "SENTRY_DSN", "GITHUB_TOKEN", "SMTP_PASSWORD", "ACME_SECRET", "stripe_secret", "VENDOR_PASSWORD", "", "_", "___", "SECRET_ACME", "X_SECRET", "API_KEY", "API_SECRET", "PASSWORD"} {
		if v := variable.Classify(name); v.Class != variable.User || v.Form != "" || v.Template != "" {
			t.Errorf("%s is %s by %s", name, v.Class, v.Rule)
		}
	}
	for _, name := range []string{"JWT_SECRET", "SESSION_SECRET", "SECRET_KEY", "DJANGO_SECRET_KEY", "POSTGRES_PASSWORD", "DB_PASSWORD", "ADMIN_PASSWORD"} {
		if v := variable.Classify(name); v.Class != variable.Infra {
			t.Errorf("%s is %s by %s", name, v.Class, v.Rule)
		}
	}
}

func matches(shape, s string) bool { return regexp.MustCompile(shape).MatchString(s) }
