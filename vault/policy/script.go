package policy

import (
	"path"
	"strings"
	"sync"

	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
)

// language is how a shell or an interpreter takes its script. Letters are those of short options.
type language struct {
	code   string   // the next element, or the rest of this one, is code or names the script
	module string   // the next element, or the rest of this one, is code that is loaded before the script
	plain  string   // options without a value: what follows them is no value of theirs
	long   []string // long forms of code and module
	once   bool     // all that follows the code is its arguments
	skip   int      // words before the command: the time of timeout
	runs   bool     // a launcher: its "script" is a command
}

var (
	shell  = language{code: "c", plain: "abefhiklmnprtuvxBCEHPT", long: []string{"--command", "--init-command", "--rcfile", "--init-file"}, once: true}
	python = language{code: "cm", plain: "bBdEhiIOPqRsSuvVx", once: true}
	perl   = language{code: "eE", module: "mM", plain: "acnpsStTuUwWX"}
	ruby   = language{code: "e", module: "r", plain: "acdlnpsSvwW"}
	node   = language{code: "ep", module: "r", plain: "i", long: []string{"--eval", "--print", "--require", "--import", "--loader", "--experimental-loader"}}
	php    = language{code: "rBRE", plain: "anqlw", long: []string{"--run", "--process-begin", "--process-code", "--process-end"}}
	lua    = language{code: "e", module: "l", plain: "iEvW"}
	awk    = language{code: "fe", long: []string{"--file", "--source"}}
	sed    = language{code: "ef", plain: "nrEsuz", long: []string{"--expression", "--file"}}
	pwsh   = language{long: []string{"-command", "-c", "-encodedcommand", "-e", "-ec", "-file", "-f"}, once: true}
	cmdExe = language{long: []string{"/c", "/k", "/r"}, once: true}
	other  = language{code: "efc"}
	eval   = language{code: "eEcxgtflLri", long: []string{"--eval", "--load", "--exec-file", "--exec", "--script", "--file", "--print", "-eval", "-run", "-s"}}
	launch = language{code: "S", plain: "i0vnEHtrz", long: []string{"--split-string"}, runs: true}
	fetch  = language{code: "cp", plain: "yq", long: []string{"--call", "--package", "--from", "--with", "--python", "--index-url"}, runs: true}
	jq     = language{code: "f", module: "L", plain: "acehijMnrRsSC", long: []string{"--from-file", "--library-path", "--expression"}}
	after1 = language{plain: launch.plain, long: []string{"-c", "--command"}, skip: 1, runs: true}
)

// languages by the program's base name, without a version: python3.12 is python.
var languages = sync.OnceValue(func() map[string]language {
	return map[string]language{
		"sh": shell, "bash": shell, "rbash": shell, "dash": shell, "ash": shell, "zsh": shell, "ksh": shell, "mksh": shell, "fish": shell, "csh": shell, "tcsh": shell, "elvish": shell, "nu": shell,
		"python": python, "pypy": python, "ipython": python, "perl": perl, "ruby": ruby, "node": node, "nodejs": node, "deno": node, "bun": node, "php": php, "lua": lua, "luajit": lua,
		"awk": awk, "gawk": awk, "mawk": awk, "nawk": awk, "sed": sed, "gsed": sed, "pwsh": pwsh, "powershell": pwsh, "cmd": cmdExe, "Rscript": other, "tclsh": other, "expect": other, "osascript": other, "groovy": other, "jshell": other,
		"env": launch, "sudo": launch, "doas": launch, "nice": launch, "nohup": launch, "setsid": launch, "xargs": launch, "busybox": launch, "toybox": launch, "time": launch,
		"stdbuf": launch, "ionice": launch, "unshare": launch, "nsenter": launch, "setpriv": launch, "systemd-run": launch, "strace": launch,
		"timeout": after1, "chroot": after1, "flock": after1, "su": after1, "runuser": after1, "gosu": after1, "su-exec": after1, "setuidgid": after1, "taskset": after1, "chrt": after1,
		"pkexec": launch, "ssh-agent": launch, "entr": launch, "ltrace": launch, "perf": launch, "valgrind": launch, "fakeroot": launch, "proot": launch, "faketime": launch, "xvfb-run": launch,
		"dbus-run-session": launch, "torsocks": launch, "proxychains": launch, "numactl": launch, "prlimit": launch, "cgexec": launch, "capsh": launch, "firejail": launch, "bwrap": launch, "unbuffer": launch,
		"aa-exec": launch, "choom": launch, "cpulimit": launch, "setarch": after1, "linux32": launch, "linux64": launch, "i386": launch, "x86_64": launch, "setlock": after1, "softlimit": launch, "multitime": launch, "pexec": launch,
		"rlwrap": launch, "torify": launch, "catchsegv": launch, "chpst": launch, "daemonize": launch, "eatmydata": launch, "envdir": after1, "fakechroot": launch,
		"grc": launch, "logsave": after1, "run0": launch, "systemd-inhibit": launch, "systemd-cat": launch, "systemd-nspawn": launch, "lxc-attach": launch, "lxc-execute": launch, "dbus-launch": launch, "runcon": launch, "chcon": launch,
		"s6-setuidgid": after1, "sem": launch, "watchexec": launch, "nodemon": launch, "foreman": launch, "direnv": after1, "aws-vault": after1, "doppler": launch, "flatpak-spawn": launch, "distcc": launch, "ccache": launch, "gtester": launch,
		"ksu": launch, "openvt": launch, "xdg-open": launch, "ktrace": launch, "truss": launch, "sshuttle": launch, "genie": launch, "catatonit": launch, "run-one": launch, "chronic": launch, "ifne": launch, "ts-node": node, "tsx": node,
		"posh": shell, "sash": shell, "yash": shell, "rc": shell, "xonsh": shell, "osh": shell, "slsh": other, "irb": ruby, "pry": ruby, "jruby": ruby, "jython": python, "micropython": python, "jjs": other, "jrunscript": other,
		"julia": eval, "octave": eval, "R": eval, "ghc": eval, "ghci": eval, "runghc": eval, "clisp": eval, "sbcl": eval, "guile": eval, "racket": eval, "scheme": eval, "elixir": eval, "iex": eval, "erl": eval, "escript": eval, "swipl": eval,
		"scala": eval, "ocaml": eval, "coffee": eval, "wish": other, "tini": launch, "dumb-init": launch, "start-stop-daemon": launch, "ld-linux-x86-64.so": launch, "ld.so": launch, "npx": fetch, "pnpx": fetch, "bunx": fetch, "uvx": fetch, "jq": jq, "gojq": jq, "yq": jq,
	}
})

// joiners hand their arguments, put together with blanks, to a shell: a value must not hold what a shell acts on.
var joiners = map[string]bool{"ssh": true, "watch": true, "parallel": true, "eval": true, "su": true, "runuser": true, "dbclient": true, "sshpass": true, "script": true,
	"tmux": true, "screen": true, "mosh": true, "rsh": true, "pdsh": true, "pssh": true, "clush": true, "sg": true, "xterm": true}

// carriers run a command that stands somewhere among their arguments.
var carriers = map[string]bool{"docker": true, "podman": true, "nerdctl": true, "kubectl": true, "docker-compose": true, "lxc": true, "find": true, "ssh": true, "watch": true,
	"parallel": true, "tmux": true, "screen": true, "git": true, "make": true, "ansible": true, "machinectl": true, "distrobox": true}

var version = lazyregexp.New(`[0-9.]+$`)

// programOf gives the name by which a literal element would be known as an interpreter.
func programOf(e element) string {
	if e.hole != nil {
		return ""
	}
	base := path.Base(strings.ReplaceAll(e.literal, `\`, "/"))
	base = strings.TrimSuffix(base, ".exe")
	if _, known := languages()[base]; known || runners()[base].opts != "" || moreRunners()[base].opts != "" {
		return base
	}
	return version.ReplaceAllString(base, "")
}

// checkScripts refuses a hole where a shell or an interpreter would take it as code, as the name of its script or as an option before it: filling
// it would be writing the command anew (a pin that reads `sh -c 'deploy {x:text}'` allows everything). Holes after the script are its arguments,
// and fine.
func checkScripts(elements []element, stdin bool) error {
	program := true // whether an element may be a program that is run
	for i, e := range elements {
		name, rest := programOf(e), elements[i+1:]
		if program && joiners[name] && looseHole(rest) {
			return badPin("the program gives its arguments to a shell, so its holes may not be of type text or relpath")
		}
		if r, ok := runnerOf(name); ok && program && r.refuses(rest) {
			return badPin("a hole may not stand where the program runs, loads or expands what fills it, or sends the credential to where it says; write that literally, or give an enum of what is meant")
		}
		lang, known := languages()[name]
		if known && program {
			fixed, ok := lang.walk(rest)
			if !ok {
				return badPin("a hole may not stand in what a shell or an interpreter runs, nor before it; give the script literally (after `--` if options come first), and holes after it")
			}
			if !fixed && stdin && !lang.runs {
				return badPin("a shell or an interpreter without a script would run whatever its caller gives on stdin")
			}
		}
		if known && len(rest) > 1 && rest[0].hole == nil && rest[1].hole != nil && lang.takes(rest[0].literal) {
			return badPin("a hole may not stand in what a shell or an interpreter runs")
		}
		if program && (name == "perl" || name == "ruby") && loops(rest) && looseHole(rest) {
			return badPin("with -n or -p the interpreter opens its arguments, and one that ends in `|` is a command: no hole may be of type text or relpath")
		}
		if i == 0 || known {
			program = program && (lang.runs || carriers[name])
		}
	}
	return nil
}

// loops tells whether an interpreter is told to read the files that its arguments name.
func loops(rest []element) bool {
	for _, e := range rest {
		if s := e.literal; e.hole == nil && len(s) > 1 && s[0] == '-' && s[1] != '-' && onlyLetters(s[1:]) && strings.ContainsAny(s, "np") {
			return true
		}
	}
	return false
}

func looseHole(elements []element) bool {
	for _, e := range elements {
		if e.hole != nil && e.hole.loose() {
			return true
		}
	}
	return false
}

// walk goes to the script and past it as far as options could add code. ok is false where a hole stands in or before it; fixed tells whether there is
// a script.
func (l language) walk(rest []element) (fixed, ok bool) {
	unclear := false // an option that may take a value came just before
	for i := 0; i < len(rest); i++ {
		if h := rest[i].hole; h != nil {
			return fixed, fixed && !l.takes(h.head)
		}
		s := rest[i].literal
		switch {
		case s == "--":
			last := i+1 >= len(rest)
			return fixed || !last, fixed || last || rest[i+1].hole == nil
		case l.takes(s):
			if !l.carries(s) {
				if i++; i < len(rest) && rest[i].hole != nil {
					return false, false
				}
			}
			if fixed = fixed || !l.loads(s); fixed && l.once {
				return true, true
			}
		case len(s) > 1 && (s[0] == '-' || s[0] == '+'):
			unclear = !l.isPlain(s)
		case l.runs && strings.Contains(s, "="): // a variable before the command
		case fixed:
			return true, true
		case unclear:
			unclear = false // the option's value, or the script: not known
		case l.skip > 0:
			l.skip--
		case l.runs && strings.Trim(s, "0123456789") == "": // what -n of nice takes, not a command
		default:
			return true, true
		}
	}
	return fixed, true
}

// takes tells whether s is an option that code goes with: "-c", "-ec", "--eval=x", "-Mstrict".
func (l language) takes(s string) bool {
	low := strings.ToLower(s)
	for _, long := range l.long {
		if low == long || strings.HasPrefix(low, long+"=") {
			return true
		}
	}
	return len(s) > 1 && s[0] == '-' && s[1] != '-' && l.short(s) > 0
}

// short gives where the first letter stands that code goes with, or -1. What comes before it must be letters that take no value, else it is part of one.
func (l language) short(s string) int {
	for i := 1; i < len(s); i++ {
		if strings.IndexByte(l.code+l.module, s[i]) >= 0 {
			return i
		}
		if !l.once && strings.IndexByte(l.plain, s[i]) < 0 {
			return -1
		}
	}
	return -1
}

// loads tells whether s is an option for a module: code, but not the script.
func (l language) loads(s string) bool {
	if strings.HasPrefix(s, "--") {
		return !strings.HasPrefix(s, "--eval") && !strings.HasPrefix(s, "--print") && !strings.HasPrefix(s, "--command") &&
			!strings.HasPrefix(s, "--run") && !strings.HasPrefix(s, "--expression") && !strings.HasPrefix(s, "--file") && !strings.HasPrefix(s, "--source")
	}
	i := l.short(s)
	return i > 0 && strings.IndexByte(l.module, s[i]) >= 0
}

// carries tells whether the code is in the element itself: "--eval=x", "-cprint()". A shell's is always the next element.
func (l language) carries(s string) bool {
	if strings.HasPrefix(s, "--") {
		return strings.Contains(s, "=")
	}
	i := l.short(s)
	return i > 0 && i < len(s)-1 && l.code != shell.code
}

// isPlain tells whether s is a cluster of options without a value.
func (l language) isPlain(s string) bool {
	return len(s) > 1 && s[0] == '-' && s[1] != '-' && strings.Trim(s[1:], l.plain) == ""
}
