package policy

import (
	"slices"
	"strings"
	"sync"
)

// runner is a program that is no interpreter and yet runs, loads or expands some of its arguments, or lets them say where a credential goes. Its lists are words
// apart by blanks.
type runner struct {
	opts   string // options whose value no hole may fill: -x, --long, -words, NAME=
	takes  string // plain words after which no hole may stand: subcommands that are given code or packages
	starts string // plain words after which the next plain word may be no hole: subcommands that run it
	text   string // plain words after which no hole of type text may stand: it could be an address
	loose  string // types that may stand nowhere: "text", "text relpath"
	free   string // options after which text may stand all the same: it is data there
	main   string // options of opts whose value is what runs, as the first plain word is
	lifts  string // plain words after which loose types may stand all the same: a target and a command for it follow, and the command is no hole
	image  string // plain words after which what is run comes as the first plain word that is no option's value
	first  bool   // the first plain word is a subcommand or a program, and no hole
	words  bool   // options with one dash are whole words: -exec
	bare   bool   // the first argument may be letters of options without a dash: xzf
}

const (
	textOnly = "text"
	anyLoose = "text relpath"
)

var (
	sqlite    = runner{opts: "-cmd -init -c -f -s", loose: anyLoose, words: true}
	pgTool    = runner{opts: "-h --host", loose: textOnly}
	mysql     = runner{opts: "-e -h -S --execute --init-command --host --socket --pager --tee --defaults-file --defaults-extra-file --plugin-dir", loose: anyLoose}
	mongo     = runner{opts: "-f --eval --file --host --uri --config", loose: anyLoose}
	keyValue  = runner{opts: "-h -u --eval", first: true}
	debugger  = runner{opts: "-ex -iex -x -ix -o -O -s -S -eval-command -init-eval-command -command -init-command --args --ex --iex --eval-command --command --one-line --source", loose: anyLoose, first: true, words: true}
	vi        = runner{opts: "-c -S -s -u -U -i -w -W --cmd --remote-expr --remote-send", loose: anyLoose}
	emacs     = runner{opts: "-e -l -f --eval --execute --load --funcall --script", loose: anyLoose}
	pager     = runner{opts: "-P -H -C -k --pager --html --config-file --lesskey-file --lesskey-src", loose: anyLoose}
	git       = runner{opts: "-c -C -u -x -O --config --config-env --exec-path --git-dir --work-tree --upload-pack --receive-pack --exec --extcmd --template --open-files-in-pager", takes: "config foreach bisect filter-branch difftool mergetool send-email for-each-repo hook", text: "clone fetch pull push ls-remote remote submodule archive", first: true}
	build     = runner{opts: "-f -C -I -E --file --makefile --directory --include-dir --eval SHELL= .SHELLFLAGS= MAKEFLAGS= MAKEFILES=", loose: anyLoose}
	packages  = runner{opts: "-C -i -r -c -e --prefix --cwd --directory --script-shell --node-options --registry --index-url --extra-index-url --find-links --requirement --constraint --editable --manifest-path --config --project --with --from", takes: "install i add exec-all dlx get tool create require update upgrade", starts: "run exec x", loose: textOnly}
	golang    = runner{opts: "-C -exec -toolexec -overlay -modfile -ldflags -gcflags -vettool", takes: "install get tool generate env", starts: "run", loose: textOnly, words: true}
	archiver  = runner{opts: "-I -F -T --use-compress-program --to-command --checkpoint-action --info-script --new-volume-script --rsh-command --rmt-command --files-from", loose: textOnly, bare: true}
	cpio      = runner{opts: "-F -I -O -M --file --rsh-command", loose: textOnly}
	finder    = runner{opts: "-exec -execdir -ok -okdir -x -X --exec --exec-batch", words: true}
	secure    = runner{opts: "-o -F -I -S -J -i -E"}
	copier    = runner{opts: "-o -F -S -J -i -D -b", loose: textOnly}
	rsync     = runner{opts: "-e -M -f --rsh --rsync-path --remote-option --config --filter --password-file --dparam", loose: textOnly}
	tokens    = runner{opts: "-D -s -S -w -e --module"}
	netcat    = runner{opts: "-e -c --exec --sh-exec --lua-exec"}
	fetcher   = runner{opts: "-K -x -e -i --config --proxy --preproxy --resolve --connect-to --unix-socket --abstract-unix-socket --doh-url --engine --netrc-file --execute --use-askpass --input-file", loose: textOnly, free: "-d --data --data-raw --data-binary --data-urlencode --json --post-data --body-data -A -U --user-agent"}
	openssl   = runner{opts: "-engine -config -provider -provider-path", words: true}
	gpg       = runner{opts: "--exec-path --photo-viewer --options --agent-program --dirmngr-program --pinentry-program"}
	mailer    = runner{opts: "-e -F -S", loose: anyLoose, free: "-s"}
	picture   = runner{loose: anyLoose}
	postscr   = runner{opts: "-c -f", loose: anyLoose, words: true}
	tex       = runner{loose: textOnly}
	macros    = runner{opts: "-D -I -R -e -f --expression --file --define --include", loose: anyLoose}
	sniffer   = runner{opts: "-z -X --script --datadir"}
	installer = runner{opts: "-E -D -i -U -o -c --eval --define --install --pipe --root --option --config-file", loose: textOnly}
	ansible   = runner{opts: "-i -a -e -m -M -c --inventory --args --extra-vars --module-name --module-path --vault-password-file --vault-id --connection --playbook-dir", loose: anyLoose}
	playbook  = runner{opts: "-i -M -c --inventory --module-path --vault-password-file --vault-id --connection", loose: anyLoose, first: true}
	container = runner{opts: "-v -H --volume --mount --entrypoint --env-file --host --context --config --file --security-opt --device --build-context --runtime --hooks-dir", loose: anyLoose, lifts: "exec", image: "run create", first: true}
	cluster   = runner{opts: "-s -k --server --filename --kustomize --kubeconfig --context --certificate-authority --post-renderer --repo", loose: anyLoose, lifts: "exec", first: true}
	terraform = runner{opts: "-chdir -var-file -backend-config -plugin-dir", first: true, words: true}
	java      = runner{opts: "-jar -cp -classpath -p -m -javaagent -agentpath -agentlib --class-path --module-path --module", main: "-jar -m --module", first: true, words: true}
	whole     = runner{loose: anyLoose, first: true}
)

// runners by the program's base name, as in languages.
var runners = sync.OnceValue(func() map[string]runner {
	return map[string]runner{
		"sqlite3": sqlite, "sqlite": sqlite, "duckdb": sqlite, "psql": {opts: "-c -f -h --command --file --host", loose: anyLoose}, "pg_dump": pgTool, "pg_dumpall": pgTool, "pg_restore": pgTool,
		"createdb": pgTool, "dropdb": pgTool, "vacuumdb": pgTool, "pgbench": pgTool, "pg_basebackup": pgTool, "mysql": mysql, "mariadb": mysql, "mysqldump": mysql, "mariadb-dump": mysql,
		"mysqladmin": mysql, "mysqlimport": mysql, "mongosh": mongo, "mongo": mongo, "mongodump": mongo, "mongorestore": mongo, "redis-cli": keyValue, "valkey-cli": keyValue,
		"clickhouse-client": {opts: "-q -h --query --queries-file --host --config-file", loose: textOnly}, "sqlcmd": {opts: "-Q -q -i -S", loose: textOnly},
		"gdb": debugger, "lldb": debugger, "vim": vi, "vi": vi, "nvim": vi, "view": vi, "ex": vi, "vimdiff": vi, "emacs": emacs, "emacsclient": emacs, "ed": whole, "nano": pager, "less": pager, "more": pager,
		"most": pager, "man": pager, "git": git, "make": build, "gmake": build, "bmake": build, "ninja": build, "just": build, "rake": build, "npm": packages, "pnpm": packages, "yarn": packages, "bun": packages,
		"pip": packages, "pipx": packages, "uv": packages, "poetry": packages, "gem": packages, "bundle": packages, "composer": packages, "cargo": {opts: "-C --manifest-path --config --path --git --registry --index", takes: "install add", loose: textOnly, first: true}, "go": golang, "tar": archiver, "gtar": archiver,
		"bsdtar": archiver, "cpio": cpio, "find": finder, "gfind": finder, "fd": finder, "fdfind": finder, "ssh": secure, "autossh": secure, "mosh": secure, "scp": copier, "sftp": copier, "rsync": rsync,
		"ssh-keygen": tokens, "ssh-add": tokens, "pkcs11-tool": tokens, "nc": netcat, "ncat": netcat, "netcat": netcat, "socat": whole, "curl": fetcher, "wget": fetcher, "openssl": openssl, "gpg": gpg,
		"mail": mailer, "mailx": mailer, "s-nail": mailer, "mutt": mailer, "neomutt": mailer, "convert": picture, "magick": picture, "mogrify": picture, "identify": picture, "montage": picture,
		"composite": picture, "gs": postscr, "tex": tex, "latex": tex, "pdftex": tex, "pdflatex": tex, "xelatex": tex, "luatex": tex, "lualatex": tex, "m4": macros, "dc": macros, "tcpdump": sniffer, "tshark": sniffer,
		"nmap": sniffer, "rpm": installer, "rpmbuild": installer, "dpkg": installer, "apt": installer, "apt-get": installer, "ansible": ansible, "ansible-console": ansible, "ansible-playbook": playbook,
		"ansible-pull": playbook, "docker": container, "podman": container, "nerdctl": container, "buildah": container, "docker-compose": container, "kubectl": cluster, "oc": cluster, "helm": cluster,
		"terraform": terraform, "tofu": terraform, "java": java, "crontab": whole, "ldd": whole, "run-parts": whole,
	}
})

// runnerOf finds a runner by the name that programOf gives, also where the name has an ending of its own: vim.tiny.
func runnerOf(name string) (runner, bool) {
	if r, ok := runners()[name]; ok {
		return r, true
	}
	if r, ok := moreRunners()[name]; ok {
		return r, true
	}
	base, _, _ := strings.Cut(name, ".")
	if r, ok := runners()[base]; ok {
		return r, true
	}
	r, ok := moreRunners()[base]
	return r, ok
}

// progress is how far the arguments of a runner were read.
type progress struct {
	before string // the literal just before; "" after a hole
	next   bool   // the next plain word is run
	taken  bool   // all that follows is code or names it
	text   bool   // text could be an address from here on
	lifted bool   // loose types are arguments of another program
	target int    // plain words since then
	image  bool   // what is run is still to come
}

// alone are options without a value, as far as it matters where a command begins after them.
const alone = "--rm -i -t -it -ti -d -itd --init --tty --interactive --detach --privileged --read-only --stdin --quiet -q"

// valued tells whether what comes after s may be its value.
func valued(s string) bool {
	return len(s) > 1 && s[0] == '-' && s != "--" && !strings.Contains(s, "=") && !has(alone, s)
}

// refuses tells whether a hole stands where the program would act on what fills it. An enum is none: a person wrote its members.
func (r runner) refuses(rest []element) bool {
	p := progress{next: r.first}
	for i, e := range rest {
		if e.hole == nil {
			r.pass(&p, e.literal, i == 0)
			continue
		}
		if e.hole.members == nil && r.acts(p, e.hole) {
			return true
		}
		if p.lifted && e.hole.head == "" && !valued(p.before) {
			p.target++
		}
		p.before = ""
	}
	return false
}

// pass goes over a literal.
func (r runner) pass(p *progress, s string, first bool) {
	if first && r.bare && s != "" && s[0] != '-' && strings.ContainsFunc(s, func(c rune) bool { return r.letter(byte(c)) }) {
		p.taken = true // tar xIf: the values come later, in the order of the letters
	}
	if !strings.HasPrefix(s, "-") && (!r.option(p.before) || has(r.main, p.before)) {
		p.next = has(r.starts, s)
		p.taken = p.taken || has(r.takes, s)
		p.text = p.text || has(r.text, s)
		if !valued(p.before) {
			p.image = has(r.image, s)
			if p.lifted {
				p.target++
			}
		}
		p.lifted = p.lifted || has(r.lifts, s)
	}
	p.before = s
}

// acts tells whether the program acts on a value of the hole there.
func (r runner) acts(p progress, h *hole) bool {
	if p.taken || r.option(p.before) || r.headed(h.head) {
		return true
	}
	if p.next && h.head == "" && !h.number() {
		return true
	}
	if h.head == "" && (p.image || p.lifted && (p.before == "--" || p.target == 1 && !valued(p.before))) {
		return true
	}
	if h.typ == "text" && p.text && h.head == "" {
		return true
	}
	if !h.loose() || p.lifted || !has(r.loose, h.typ) {
		return false
	}
	name, _, given := strings.Cut(h.head, "=")
	return !(h.head == "" && has(r.free, p.before) || given && has(r.free, name))
}

// option tells whether the next element is the value of an option of opts: "-e", "-avze", "--rsh", or as much of "--rsh-command" as tells it apart.
func (r runner) option(s string) bool {
	if len(s) < 2 || s[0] != '-' {
		return false
	}
	if has(r.opts, s) || len(s) > 4 && s[1] == '-' && slices.ContainsFunc(strings.Fields(r.opts), func(o string) bool { return strings.HasPrefix(o, s) }) {
		return true
	}
	return !r.words && s[1] != '-' && onlyLetters(s[1:]) && r.letter(s[len(s)-1])
}

// headed tells whether what stands before the hole in its element makes it such a value: "--rsh=", "-oProxyCommand=", "-avze", "SHELL=".
func (r runner) headed(head string) bool {
	name, _, given := strings.Cut(head, "=")
	if given && (r.option(name) && (r.words || strings.HasPrefix(name, "--")) || has(r.opts, name+"=")) {
		return true
	}
	if r.words || len(head) < 2 || head[0] != '-' || head[1] == '-' {
		return false
	}
	return r.letter(head[1]) || onlyLetters(head[1:]) && r.letter(head[len(head)-1])
}

func (r runner) letter(c byte) bool { return has(r.opts, "-"+string(rune(c))) }

func has(list, word string) bool { return word != "" && slices.Contains(strings.Fields(list), word) }

func onlyLetters(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// number tells whether the type can be no name of anything.
func (h *hole) number() bool {
	return slices.Contains([]string{"int", "uint", "date", "semver", "bool"}, h.typ)
}
