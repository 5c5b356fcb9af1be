package profile

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

var golden = map[string]Options{
	"bare": {},
	"run": {
		Read:     []string{"/private/var/zavhoz/run_1/ca.pem"},
		Exec:     []string{"/opt/homebrew", "/Users/ann/src/lib"},
		Write:    []string{"/private/var/zavhoz/run_1/home", "/Users/ann/src/bot"},
		Ports:    []uint16{49231, 49232},
		Terminal: "/dev/ttys004",
	},
}

func TestProfilesAreWrittenDown(t *testing.T) {
	for name, o := range golden {
		text, err := Text(o)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name+".sb")
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if text != string(want) {
			t.Errorf("%s is not as %s (-update writes it):\n%s", name, file, text)
		}
	}
}

// form is one bracket of the profile's language: strings begin with a quotation mark here.
type form struct {
	word string
	list []form
}

// read parses a whole profile. It knows no more than brackets, words, strings and comments.
func read(t testing.TB, text string) []form {
	t.Helper()
	stack := [][]form{nil}
	put := func(f form) { stack[len(stack)-1] = append(stack[len(stack)-1], f) }
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == ';':
			i += strings.IndexByte(text[i:], '\n')
		case c == '(':
			stack = append(stack, nil)
		case c == ')':
			if len(stack) == 1 {
				t.Fatal("a bracket too many")
			}
			f := form{list: stack[len(stack)-1]}
			stack = stack[:len(stack)-1]
			put(f)
		case c == '"':
			s := []byte{'"'}
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
				s = append(s, text[i])
			}
			put(form{word: string(s)})
		case c > ' ':
			end := i
			for end < len(text) && text[end] > ' ' && !strings.ContainsRune(`()";`, rune(text[end])) {
				end++
			}
			put(form{word: text[i:end]})
			i = end - 1
		}
	}
	if len(stack) != 1 {
		t.Fatal("a bracket is open")
	}
	return stack[0]
}

// find gives the filters of all rules that allow an operation.
func find(forms []form, operation string) (filters []form) {
	for _, f := range forms {
		if len(f.list) == 0 || f.list[0].word != "allow" {
			continue
		}
		for _, part := range f.list[1:] {
			if part.word == operation {
				for _, p := range f.list[1:] {
					if p.word == "" {
						filters = append(filters, p)
					}
				}
			}
		}
	}
	return filters
}

func TestEverythingIsDeniedFirst(t *testing.T) {
	for name, o := range golden {
		text, err := Text(o)
		if err != nil {
			t.Fatal(err)
		}
		forms := read(t, text)
		if len(forms) < 5 || forms[0].list[0].word != "version" || forms[1].list[0].word != "deny" || forms[1].list[1].word != "default" {
			t.Errorf("%s does not begin with the denial", name)
		}
		for _, f := range forms {
			if f.list[0].word != "allow" || slices.ContainsFunc(f.list, func(p form) bool { return p.list != nil }) {
				continue
			}
			if len(f.list) != 2 || f.list[1].word != "process-fork" {
				t.Errorf("%s: a rule without a filter allows everything: %+v", name, f)
			}
		}
		for _, never := range []string{"network*", "network-inbound", "network-bind", "system-socket", "mach-register", "mach*", "iokit-open", "file*",
			"default", "process*",
			"appleevent-send", "job-creation", "ipc-posix-shm", "ipc-posix-sem", "sysctl-write", "user-preference-read", "lsopen", "forbidden-exec-sugid"} {
			if got := find(forms, never); got != nil {
				t.Errorf("%s allows %s: %+v", name, never, got)
			}
		}
	}
}

// One Mach service, no more: each is a program outside that acts for whoever asks.
func TestAttack16_ServicesOfTheSystem(t *testing.T) {
	text, err := Text(golden["run"])
	if err != nil {
		t.Fatal(err)
	}
	got := find(read(t, text), "mach-lookup")
	if len(got) != 1 || len(got[0].list) != 2 || got[0].list[1].word != `"com.apple.system.opendirectoryd.libinfo` {
		t.Errorf("%+v", got)
	}
}

func TestAttack17_NoEnvironmentOfOthers(t *testing.T) {
	text, err := Text(golden["run"])
	if err != nil {
		t.Fatal(err)
	}
	names := find(read(t, text), "sysctl-read")
	if len(names) < 10 {
		t.Fatalf("%d names", len(names))
	}
	for _, f := range names {
		if name := f.list[1].word; strings.HasPrefix(name, `"kern.proc`) || f.list[0].word == "sysctl-name-prefix" && !strings.HasPrefix(name, `"hw.`) {
			t.Errorf("%+v", f)
		}
	}
}

func TestAttack08_OnlyTheProxysPorts(t *testing.T) {
	text, err := Text(golden["run"])
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range find(read(t, text), "network-outbound") {
		got = append(got, f.list[0].word+" "+f.list[1].word+" "+f.list[2].word)
	}
	if want := []string{`remote ip "localhost:49231`, `remote ip "localhost:49232`}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	bare, err := Text(Options{})
	if err != nil || find(read(t, bare), "network-outbound") != nil {
		t.Errorf("without ports there is a network: %v", err)
	}
	if _, err := Text(Options{Ports: []uint16{0}}); !errors.Is(err, ErrPort) {
		t.Error(err)
	}
}

func TestPathsAreNoRules(t *testing.T) {
	for _, p := range []string{"", "relative", "/", "/a/../b", "/a/", "/a//b", "/a\n(allow default)", "/a\x00b", "/a\x7f", "/\xff"} {
		for _, o := range []Options{{Read: []string{p}}, {Exec: []string{p}}, {Write: []string{"/fine", p}}} {
			if _, err := Text(o); !errors.Is(err, ErrPath) {
				t.Errorf("%q: %v", p, err)
			}
		}
	}
	for _, terminal := range []string{"/dev/disk0", "/dev/ttys0\n", "ttys1", "/dev/ttys1/../disk0"} {
		if _, err := Text(Options{Terminal: terminal}); !errors.Is(err, ErrPath) {
			t.Errorf("%q: %v", terminal, err)
		}
	}
}

func FuzzPathsStayStrings(f *testing.F) {
	for _, p := range []string{"/Users/ann/src", `/a"b`, `/a\b`, `/a") (allow default) ("`, `/a\") (allow default) (\"`, "/a;b", "/ä(b)"} {
		f.Add(p)
	}
	bare := len(read(f, must(f, Options{})))
	f.Fuzz(func(t *testing.T, p string) {
		text, err := Text(Options{Write: []string{p}})
		if err != nil {
			return
		}
		forms := read(t, text)
		got := find(forms, "file-write*")
		if len(got) != 1 || got[0].list[0].word != "subpath" || got[0].list[1].word != `"`+p {
			t.Errorf("%q became %+v", p, got)
		}
		if extra := len(forms) - bare; extra != 1 && extra != 2 { // the rule, and one for the folders above
			t.Errorf("%q: %d more rules", p, extra)
		}
	})
}

func must(t testing.TB, o Options) string {
	t.Helper()
	text, err := Text(o)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestArgv(t *testing.T) {
	got, err := Argv("(version 1)", []string{"/bin/sh", "-c", "true"})
	if err != nil || !slices.Equal(got, []string{"/usr/bin/sandbox-exec", "-p", "(version 1)", "/bin/sh", "-c", "true"}) {
		t.Errorf("%q %v", got, err)
	}
	for _, argv := range [][]string{nil, {"sh"}, {"-p"}} {
		if _, err := Argv("x", argv); !errors.Is(err, ErrPath) {
			t.Errorf("%q: %v", argv, err)
		}
	}
}
