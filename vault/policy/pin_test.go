package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

func TestHoles(t *testing.T) {
	long := strings.Repeat("a", 201)
	for hole, c := range map[string]struct{ good, bad []string }{
		"{x:int}":         {[]string{"0", "12", "999999999999999999"}, []string{"", "-1", "01", "+1", "1.0", "1e3", "9999999999999999999", "1 ", "١"}},
		"--n={x:int}":     {[]string{"--n=0", "--n=-5"}, []string{"--n=", "--n=--5", "-n=5", "5", "--n=5x"}},
		"{x:uint}":        {[]string{"0", "7"}, []string{"-7", "00", ""}},
		"{x:slug}":        {[]string{"a", "web-1", "a_b", strings.Repeat("a", 64)}, []string{"", "-a", "_a", "A", "a.b", "a/b", strings.Repeat("a", 65)}},
		"{x:word}":        {[]string{"Web_1.2-x", "_a", "a..b"}, []string{"", "-a", ".a", "a/b", "a b", "a:b", "a\nb", "é"}},
		"{x:date}":        {[]string{"2024-02-29"}, []string{"2023-02-29", "24-02-01", "2024-2-1", "2024-02-01T00", ""}},
		"{x:semver}":      {[]string{"1.2.3", "v0.0.1", "1.2.3-rc.1+b5"}, []string{"1.2", "01.2.3", "1.2.3-", "v1.2.3;x", "-1.2.3", "1.2.3--x"}},
		"{x:sha}":         {[]string{"deadbee", strings.Repeat("a", 64)}, []string{"deadbe", "DEADBEE", "xyz1234", strings.Repeat("a", 65)}},
		"{x:bool}":        {[]string{"true", "false"}, []string{"True", "1", "", "true "}},
		"{x:enum(a|b-c)}": {[]string{"a", "b-c"}, []string{"", "b", "a|b-c", "A", "-a"}},
		"{x:relpath}":     {[]string{"a", "a/b.txt", "a b/c", ".env", "..a/b", "é"}, []string{"", "/a", "a/../b", "..", ".", "./a", "a//b", "a/", "-a", "@a", "~a", `a\b`, "host:a", "a\x00b", "a\nb", "a\u202eb", strings.Repeat("a", 1025)}},
		"{x:text}":        {[]string{"hello; rm -rf /", "a", long[:200], "é 漢"}, []string{"", "-x", "@file", "a\nb", "a\tb", "a\x1b[0m", long, "a\xff", "a\u200bb", "a\u202eb"}},
	} {
		p, err := policy.ParsePin("p", []string{"/bin/tool", hole})
		if err != nil {
			t.Fatalf("%s: %v", hole, err)
		}
		for _, v := range c.good {
			if err := p.Match([]string{"/bin/tool", v}); err != nil {
				t.Errorf("%s refuses %q: %v", hole, v, err)
			}
		}
		for _, v := range c.bad {
			err := p.Match([]string{"/bin/tool", v})
			if fault.CodeOf(err) != fault.CommandMismatch {
				t.Errorf("%s accepts %q: %v", hole, v, err)
			}
			if len(v) > 7 && err != nil && strings.Contains(err.Error(), v) {
				t.Errorf("the refusal repeats %q", v)
			}
		}
	}
}

func TestPinGrammar(t *testing.T) {
	for _, argv := range [][]string{
		{"/bin/tool"}, {"/bin/tool", "{{.Names}}", `{"a":1}`, "{print $1}", "{}"}, {"/usr/bin/docker", "ps", "--format", "{{.Names}}"}, {"/bin/tool", "{args:slug...}"},
		{"/bin/tool", "{a:slug}", "--b={b:enum(x|y)}", "{c:word...}"}, {`C:\Program Files\tool.exe`, "{n:int}"}, {"/bin/tool", ""},
	} {
		if _, err := policy.ParsePin("p", argv); err != nil {
			t.Errorf("%q: %v", argv, err)
		}
	}
	for _, argv := range [][]string{
		nil, {""}, {"tool"}, {"./tool"}, {"/bin/../bin/tool"}, {"/bin//tool"}, {"/"}, {"/bin/tool/"}, {"/bin/{x:slug}"}, {"{x:slug}"}, {"/bin/tool", "{x:float}"}, {"/bin/tool", "{x:int}s"},
		{"/bin/tool", "{a:int}{b:int}"}, {"/bin/tool", "{a:int}", "{a:int}"}, {"/bin/tool", "{a:int...}", "x"}, {"/bin/tool", "-x{a:int...}"}, {"/bin/tool", "{A:int}"}, {"/bin/tool", "{a:int(3)}"},
		{"/bin/tool", "{a:enum()}"}, {"/bin/tool", "{a:enum}"}, {"/bin/tool", "{a:enum(a b)}"}, {"/bin/tool", "{a:enum(-x)}"}, {"/bin/tool", "{a:int"}, {"/bin/tool", "x\x00"}, {"/bin/to\nol"},
		{"/bin/tool", "{a-b:int}"}, slices.Repeat([]string{"/bin/tool"}, 257), {`C:\a\..\tool.exe`},
	} {
		if _, err := policy.ParsePin("p", argv); fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("%q is accepted: %v", argv, err)
		}
	}
	ok := []string{"/bin/tool"}
	for _, p := range []policy.Pin{
		{Name: "", Argv: ok}, {Name: "A", Argv: ok}, {Name: "p", Argv: ok, SHA256: "ab"}, {Name: "p", Argv: ok, Cwd: "x"}, {Name: "p", Argv: ok, Cwd: "/a/../b"}, {Name: "p", Argv: ok, Env: []string{"LD_PRELOAD"}},
		{Name: "p", Argv: ok, Env: []string{"a b"}}, {Name: "p", Argv: ok, SHA256: strings.Repeat("A", 64)},
	} {
		if err := p.Validate(); fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("%+v is accepted: %v", p, err)
		}
	}
}

func TestScriptsHaveNoHoles(t *testing.T) {
	for argv, want := range map[string]bool{
		// holes after the script are its arguments
		"/bin/sh|-c|deploy $1|_|{x:slug}":                  true,
		"/bin/bash|-ec|deploy $1|_|{x:text}":               true,
		"/bin/bash|/srv/deploy.sh|{x:slug}":                true,
		"/bin/bash|-x|/srv/deploy.sh|{x:slug}":             true,
		"/bin/bash|-o|pipefail|--|/srv/deploy.sh|{x:slug}": true,
		"/usr/bin/python3.12|-u|/srv/x.py|{x:text}":        true,
		"/usr/bin/python3|-m|pytest|-c|{x:slug}":           true,
		"/usr/bin/env|FOO=1|/srv/x|{x:slug}":               true,
		"/usr/bin/docker|exec|web|deploy|{x:slug}":         true,
		"/usr/bin/docker|exec|web|sh|-c|x $1|_|{x:slug}":   true,
		"/srv/deploy|php|{x:semver}":                       true,
		"/usr/bin/sed|-e|s/a/b/|{x:relpath}":               true,
		"/usr/bin/perl|-Mstrict|-e|print 1|{x:slug}":       true,
		"/usr/bin/node|/srv/x.js|-e|{x:slug}":              true,
		"/usr/bin/timeout|5|/srv/x|{x:slug}":               true,
		"/usr/bin/ssh|host|uptime|{x:slug}":                true,
		"/usr/bin/python3|--version":                       true,
		"/usr/bin/env":                                     true,
		// filling these writes the command anew
		"/bin/sh|-c|{x:text}":                         false,
		"/bin/sh|-c|deploy {x:text}":                  false,
		"/bin/bash|-lc|{x:slug}":                      false,
		"/bin/bash|{x:relpath}":                       false,
		"/bin/bash|-o|{x:word}":                       false,
		"/bin/bash|-o|pipefail|{x:relpath}":           false,
		"/bin/bash|--rcfile|{x:relpath}|-i":           false,
		"/bin/bash|--|{x:relpath}":                    false,
		"/usr/bin/python3.12|-c|{x:text}":             false,
		"/usr/bin/python3|-c{x:text}":                 false,
		"/usr/bin/python3|-m|{x:slug}":                false,
		"/usr/bin/python3|-W|ignore|{x:relpath}":      false,
		"/usr/bin/perl|-Mstrict|{x:relpath}":          false,
		"/usr/bin/perl|-M{x:word}|-e|print 1":         false,
		"/usr/bin/perl|-e|print 1|-e{x:text}":         false,
		"/usr/bin/ruby|-r|{x:slug}|/srv/x.rb":         false,
		"/usr/bin/node|--eval={x:text}":               false,
		"/usr/bin/node|--require|{x:relpath}|/srv/x":  false,
		"/usr/bin/awk|{x:text}":                       false,
		"/usr/bin/sed|{x:text}|/etc/hosts":            false,
		"/usr/bin/env|{x:word}":                       false,
		"/usr/bin/env|-i|sh|-c|{x:text}":              false,
		"/usr/bin/env|-S|{x:text}":                    false,
		"/usr/bin/sudo|-u|deploy|{x:word}":            false,
		"/usr/bin/sudo|bash|-c|{x:text}":              false,
		"/usr/bin/xargs|{x:word}":                     false,
		"/usr/bin/timeout|5|{x:word}":                 false,
		"/usr/bin/docker|exec|web|sh|-c|{x:text}":     false,
		"/usr/bin/docker|exec|web|bash|{x:relpath}":   false,
		"/usr/bin/busybox|sh|-c|{x:text}":             false,
		"/usr/bin/ssh|host|{x:text}":                  false,
		"/usr/bin/watch|ls|{x:relpath}":               false,
		"/srv/run-in|sh|-c|{x:text}":                  false,
		`C:\Windows\System32\cmd.exe|/c|{x:text}`:     false,
		`C:\Windows\powershell.exe|-Command|{x:text}`: false,
	} {
		_, err := policy.ParsePin("p", strings.Split(argv, "|"))
		if (err == nil) != want {
			t.Errorf("%s: %v; want allowed=%v", argv, err, want)
		}
	}
	for argv, want := range map[string]bool{"/bin/sh": false, "/bin/bash|-x": false, "/bin/sh|-c|cat": true, "/usr/bin/python3|/srv/x.py": true, "/usr/bin/env|sh": false, "/bin/cat": true} {
		err := policy.Pin{Name: "p", Argv: strings.Split(argv, "|"), Stdin: true}.Validate()
		if (err == nil) != want {
			t.Errorf("%s with stdin: %v; want allowed=%v", argv, err, want)
		}
	}
}

func TestMatchAny(t *testing.T) {
	pins := []policy.Pin{
		{Name: "deploy", Argv: []string{"/srv/deploy", "{app:slug}", "--count={n:int}", "now"}},
		{Name: "many", Argv: []string{"/srv/many", "-v", "{args:slug...}"}},
		{Name: "deploy2", Argv: []string{"/srv/deploy", "all"}},
	}
	for _, c := range []struct {
		argv, full, name string
		code             fault.Code
	}{
		{"/srv/deploy web --count=2 now", "/srv/deploy web --count=2 now", "deploy", ""},
		{"pin:deploy web 2", "/srv/deploy web --count=2 now", "deploy", ""},
		{"/srv/deploy all", "/srv/deploy all", "deploy2", ""},
		{"/srv/many -v", "/srv/many -v", "many", ""},
		{"/srv/many -v a b", "/srv/many -v a b", "many", ""},
		{"pin:many a b", "/srv/many -v a b", "many", ""},
		{"pin:many", "/srv/many -v", "many", ""},
		{"pin:many -x", "", "", fault.CommandMismatch},
		{"/srv/many -v a -b", "", "", fault.CommandMismatch},
		{"/srv/many", "", "", fault.CommandMismatch},
		{"/srv/deploy web --count=two now", "", "", fault.CommandMismatch},
		{"/srv/deploy web --count=2 now please", "", "", fault.CommandMismatch},
		{"pin:deploy web", "", "", fault.CommandMismatch},
		{"pin:deploy web 2 3", "", "", fault.CommandMismatch},
		{"pin:deploy Web 2", "", "", fault.CommandMismatch},
		{"pin:other", "", "", fault.CommandNotPinned},
		{"deploy web --count=2 now", "", "", fault.CommandNotPinned},
		{"/srv/../srv/deploy all", "", "", fault.CommandNotPinned},
		{"sh -c x", "", "", fault.CommandNotPinned},
	} {
		p, full, err := policy.MatchAny(pins, strings.Fields(c.argv))
		if p.Name != c.name || strings.Join(full, " ") != c.full || fault.CodeOf(err) != c.code {
			t.Errorf("%s: %s %q %v", c.argv, p.Name, full, err)
		}
		if c.code == fault.CommandNotPinned && !strings.Contains(err.Error(), "--pin NAME -- /") {
			t.Errorf("%s: the refusal does not say how to pin", c.argv)
		}
	}
	if _, _, err := policy.MatchAny(pins, nil); err == nil {
		t.Error("an empty command is allowed")
	}
	if _, _, err := policy.MatchAny(pins, append([]string{"/srv/many", "-v"}, slices.Repeat([]string{"a"}, 65)...)); fault.CodeOf(err) != fault.CommandMismatch {
		t.Error("a repeated hole takes any number")
	}
}

func TestMatchExec(t *testing.T) {
	if err := policy.MatchExec(nil, "anything; at all"); err != nil {
		t.Error("no patterns refuse a command")
	}
	patterns := []string{"systemctl status {unit:slug}", "uptime", "docker logs --tail={n:uint} {name:slug}"}
	for command, want := range map[string]fault.Code{
		"uptime": "", "systemctl status nginx": "", "docker logs --tail=10 web": "",
		"systemctl status nginx; reboot": fault.CommandMismatch, "uptime $(x)": fault.CommandMismatch, "uptime\nreboot": fault.CommandMismatch, "'uptime'": fault.CommandMismatch,
		"systemctl status *": fault.CommandMismatch, "uptime > x": fault.CommandMismatch, "uptime\u00a0x": fault.CommandMismatch, "uptime\x00": fault.CommandMismatch,
		"systemctl restart nginx": fault.CommandNotPinned, "": fault.CommandNotPinned, "uptime ": fault.CommandNotPinned, " uptime": fault.CommandNotPinned, "systemctl  status nginx": fault.CommandNotPinned,
		"systemctl status -x": fault.CommandNotPinned, "X=1 uptime": fault.CommandNotPinned,
	} {
		if err := policy.MatchExec(patterns, command); fault.CodeOf(err) != want {
			t.Errorf("%q: %v; want %q", command, err, want)
		}
	}
	for _, p := range []string{"", " uptime", "a  b", "{x:slug}", "a; b", "sh -c {x:word}", "X=1 a", "a $HOME", "a {x:nope}", "a *"} {
		if err := policy.Validate(policy.Policy{Exec: []string{p}}, nil, nil); err == nil {
			t.Errorf("pattern %q is accepted", p)
		}
		if err := policy.MatchExec([]string{p}, "a"); err == nil {
			t.Errorf("pattern %q allows a command", p)
		}
	}
}

// FuzzPin: a command that matches has the literal elements, and what fills a whole element never begins with "-".
func FuzzPin(f *testing.F) {
	f.Add("{x:slug}", "web-1")
	f.Add("--n={x:int}", "--n=-3")
	f.Add("{x:relpath}", "a/../b")
	f.Add("{x:text...}", "-v")
	f.Add("{x:enum(a|b)}", "a")
	f.Add("{{.Names}}", "{{.Names}}")
	f.Fuzz(func(t *testing.T, elem, value string) {
		p, err := policy.ParsePin("p", []string{"/bin/tool", elem})
		if err != nil {
			return
		}
		err = p.Match([]string{"/bin/tool", value})
		if err != nil {
			return
		}
		if strings.ContainsRune(value, 0) {
			t.Fatalf("%q accepts %q", elem, value)
		}
		if value != elem && strings.HasPrefix(elem, "{") && (strings.HasPrefix(value, "-") || strings.HasPrefix(value, "../") || strings.Contains(value, "\n")) {
			t.Fatalf("%q accepts %q", elem, value)
		}
		if i := strings.Index(elem, "{"); i >= 0 && value != elem && !strings.HasPrefix(value, elem[:i]) {
			t.Fatalf("%q accepts %q", elem, value)
		}
	})
}

func FuzzExec(f *testing.F) {
	f.Add("systemctl status {u:slug}", "systemctl status nginx")
	f.Add("a {x:text}", "a $(b)")
	f.Fuzz(func(t *testing.T, pattern, command string) {
		if policy.MatchExec([]string{pattern}, command) != nil {
			return
		}
		if strings.ContainsAny(command, "$`\"'\\;&|<>(){}[]*?!#~\n\r\x00") || strings.Count(command, " ") > strings.Count(pattern, " ")+64 {
			t.Fatalf("%q allows %q", pattern, command)
		}
		if first, _, _ := strings.Cut(command, " "); !strings.HasPrefix(pattern, first) {
			t.Fatalf("%q allows %q", pattern, command)
		}
	})
}
