package main

import (
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/web/api"
)

// What is printed can be typed: the handle is the one at hand, and not a word in its place.
func TestTheNextStepNamesTheHandle(t *testing.T) {
	next := operatorWords.Replace("call list_managed_servers to see its state, or try again later")
	if got := named(next, "prod_vps_1: the server refused the connection"); !strings.Contains(got, "zavhoz resource edit prod_vps_1 --secret host=-") || strings.Contains(got, "HANDLE") {
		t.Errorf("got %q", got)
	}
	if got := named(next, "No Handle: broke"); got != next {
		t.Errorf("what is no handle was put into a command: %q", got)
	}
}

// A name that looks like another's, or moves what stands around it, is seen to be none: kept texts come from agents, too.
func TestWhatNobodySeesIsShown(t *testing.T) {
	for in, want := range map[string]string{
		"weather\u3164bot": "weather·bot", "\u115f\u1160a\uffa0b\u2800c\u034f": "··a·b·c·", "a\u200bb\u00adc\ufe0fd\u00a0e": "a·b·c·d·e", "a\x1b[2J\u202eb\nc\td": "a·[2J·b·c·d",
		"почта 한글 é — 🔑": "почта 한글 é — 🔑",
	} {
		if got := plain(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
	var out strings.Builder
	table(&out, []string{"Handle"}, [][]string{{"mail\u3164"}, {"mail"}})
	if !strings.Contains(out.String(), "mail·\n") || !strings.HasSuffix(out.String(), "mail\n") {
		t.Errorf("%q", &out)
	}
	if !pasted("/home/山田\u3000太郎/.zavhoz") || pasted("/home/a\u202eb") || pasted("/home/a\nb") || pasted("/home/a\xff") {
		t.Error("a path that is pasted whole is not taken, or one that is not is")
	}
}

func TestTimesAreWrittenWhole(t *testing.T) {
	for d, want := range map[time.Duration]string{24 * time.Hour: "24h", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m", 10 * time.Second: "10s", time.Hour + time.Second: "1h0m1s", 0: "0s"} {
		if got := whole(d); got != want {
			t.Errorf("%d: got %q, want %q", d, got, want)
		}
	}
}

// A file's state says its code once, its name once, and what to do.
func TestHowAFileOfSecretsStandsIsSaidOnce(t *testing.T) {
	f := api.SecretFile{Name: "s.yaml", Path: "/srv/s.yaml", Entries: 1, Code: "wrong_identity", Message: "no identity of this vault opens /srv/s.yaml", Next: "add the recipient",
		Problems: []api.FileProblem{{Where: "servers.a", Code: "unknown_field", Message: "no such field", Next: "correct it"}}}
	var out strings.Builder
	printFiles(&out, []api.SecretFile{f})
	var doctor findings
	doctor.examineSecrets([]api.SecretFile{f})
	doctor.print(&out)
	for text, n := range map[string]int{"[wrong_identity]": 2, "1 entry in force": 2, "s.yaml": 2, "opens it": 2, "next: add the recipient": 2, "next: correct it": 1} {
		if got := strings.Count(out.String(), text); got != n {
			t.Errorf("%q is there %d times, want %d:\n%s", text, got, n, &out)
		}
	}
}
