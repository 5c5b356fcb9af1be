package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/web/api"
)

// TestAttack70_NothingShownBeginsALine: on a terminal that breaks long lines no text of an agent's comes to stand where our names stand, and no word ends before it does.
func TestAttack70_NothingShownBeginsALine(t *testing.T) {
	fake := `ok"` + strings.Repeat(" ", 62) + `argv[2]     "--dry-run`
	wide := strings.Repeat("\u5b57", 40) + `argv[0]     "true"`
	x := api.Approval{ID: "apr_x", Call: &api.AskedCall{
		State: "waiting", Agent: "one", Sort: "run", Purpose: wide, Argv: []string{"deploy", fake}, Env: map[string]string{"A": fake}, Stdin: &api.AskedText{Bytes: 3, SHA256: strings.Repeat("a", 64), Text: fake},
	}}
	var b bytes.Buffer
	writeApproval(&b, x)
	ours := regexp.MustCompile(`^(id|state|agent|purpose|argv\[[01]\]|with|stdin|sha256|timeout|asked|until| {11}) `)
	for l := range strings.Lines(b.String()) {
		columns := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")) + strings.Count(l, "\u5b57")
		if !ours.MatchString(l) || columns > 80 {
			t.Errorf("%d columns: %q", columns, l)
		}
	}
	if strings.Contains(b.String(), `ok" `) || !strings.Contains(b.String(), `argv[1]     "ok\" `) {
		t.Errorf("a word seems to end early:\n%s", &b)
	}
	if c := cut(fake + wide); utf8.RuneCountInString(c) > shownColumns+1 || !strings.HasSuffix(c, "…") || cut("short") != "short" {
		t.Errorf("%q", c)
	}
}
