package policy_test

import (
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/policy"
)

// What fills a hole must never be run, loaded or expanded by the program, nor say where it sends the credential. Elements are apart by "|".
func TestRunnersActOnNoHole(t *testing.T) {
	allowed := []string{
		"psql|-v|id={id:uint}|-f|/srv/x.sql", "psql|-d|{db:slug}|-c|select 1", "pg_dump|-f|{out:relpath}|shop", "mysql|-D|{db:slug}|-e|select 1", "redis-cli|GET|{key:word}", "redis-cli|-n|{db:uint}|DBSIZE",
		"redis-cli|SET|k|{v:text}", "sqlite3|/srv/x.db|select {n:int}", "sqlite3|{db:word}|.tables", "gdb|-batch|-ex|bt|/srv/x|{pid:uint}",
		"git|commit|-m|{m:text}", "git|commit|--message={m:text}", "git|commit|-am|{m:text}", "git|add|{f:relpath}", "git|-C|/srv/x|push|origin|{b:word}", "git|push|-u|origin|{b:relpath}", "git|log|--grep={x:text}",
		"make|{target:word}", "make|deploy|V={v:semver}", "make|-j{n:uint}|all", "npm|run|build|{x:slug}", "npm|install|--save-exact|left-pad", "pip|install|requests==2.0", "cargo|run|--|{x:slug}", "go|test|-run|{x:word}|./...",
		"tar|-czf|{out:relpath}|src", "tar|czf|/srv/x.tgz|{dir:relpath}", "tar|--exclude={x:word}|-cf|x.tar|src", "find|{d:relpath}|-name|{n:text}|-type|f", "find|.|-exec|rm|{f:relpath}|;",
		"ssh|-p|{p:uint}|host|uptime", "ssh|host|systemctl|status|{u:slug}", "scp|-r|{f:relpath}|host:/srv", "rsync|-avz|--delete|{d:relpath}|host:/srv", "rsync|-e|{rsh:enum(ssh|rsh)}|a|b",
		"curl|-sS|-d|{body:text}|https://api.example.org", "curl|https://api.example.org/items/{id:word}", "curl|--max-time|{n:uint}|https://a.example", "wget|--post-data={x:text}|https://a.example", "openssl|x509|-in|{f:relpath}|-noout",
		"mail|-s|{subject:text}|ops@example.org", "docker|logs|-f|{name:slug}", "docker|exec|web|deploy|{x:text}", "docker|rm|-f|{name:slug}", "docker|run|-e|TOKEN|image|{x:slug}", "kubectl|logs|-f|{pod:word}",
		"kubectl|exec|pod|--|deploy|{x:text}", "terraform|-chdir=/srv|apply|-var|x={x:text}", "java|-jar|/srv/x.jar|{x:text}", "java|-cp|/srv/x.jar|com.example.Main|{x:text}", "ansible-playbook|site.yml|-e|version={v:semver}",
		"ansible-playbook|site.yml|-l|{host:word}", "jq|.items|{f:relpath}", "npx|--|prettier|{f:relpath}", "nc|-z|db|{p:uint}", "vim|-es|/srv/x", "taskset|1|/srv/x|{x:slug}", "perl|-e|print 1|{x:relpath}", "perl|-ne|print|{x:word}",
		"socat|-|TCP:host:{p:uint}", "gpg|--recipient|{r:word}|-e|/srv/x", "vim.tiny|/srv/{f:word}", "tmux|send-keys|-t|{p:word}|Enter",
	}
	refused := []string{
		"psql|-c|{sql:text}", "psql|-tAc|{sql:word}", "psql|--command={sql:text}", "psql|--comm|{x:word}", "psql|{conninfo:text}", "psql|-h|{host:word}", "psql|-hdb.{host:word}", "psql|-v|x={x:text}|-f|/srv/x.sql", "psql|-f|{f:relpath}",
		"pg_dump|-h|{host:word}", "pg_dump|{db:text}", "mysql|-e|{sql:word}", "mysql|--host={h:word}", "mysqldump|--defaults-file={f:word}", "mongosh|--eval|{js:word}", "mongosh|{js:relpath}", "redis-cli|{cmd:word}", "redis-cli|-h|{host:word}|GET|x",
		"sqlite3|/srv/x.db|{sql:text}", "sqlite3|/srv/x.db|{sql:relpath}", "sqlite3|-cmd|{x:word}|/srv/x.db", "gdb|-ex|{x:word}", "gdb|{prog:word}", "gdb|-batch|-x|{f:word}", "lldb|-o|{x:text}|/srv/x",
		"vim|-c|{x:word}", "vim|{f:text}", "vim.tiny|{f:relpath}", "nvim|--cmd={x:word}", "emacs|--eval|{x:text}", "emacs|--batch|-l|{f:word}", "ed|{f:text}", "less|{f:text}", "man|-P|{x:word}|ls",
		"git|-c|{x:word}|status", "git|-ccore.pager={x:word}|log", "git|{sub:word}", "git|--no-pager|{sub:word}", "git|-C|/srv/x|{sub:word}", "git|-C|{d:relpath}|status", "git|--git-dir={d:word}|log", "git|fetch|--upload-pack={x:word}|origin",
		"git|rebase|-x|{x:word}|main", "git|submodule|foreach|{x:word}", "git|bisect|run|{x:word}", "git|config|{k:word}|x", "git|config|alias.x|{v:text}", "git|clone|{url:text}", "git|push|{remote:text}|main", "git|difftool|-x|{x:word}",
		"make|-f|{f:relpath}", "make|deploy|V={v:text}", "make|deploy|V={v:relpath}", "make|SHELL={x:word}", "make|--eval={x:word}", "make|-C{d:word}", "npm|install|{pkg:word}", "npm|i|left-pad|{pkg:word}", "npm|exec|{x:word}", "npm|--prefix|{d:word}|test",
		"pip|install|{pkg:word}", "pip3.12|install|-r|{f:relpath}", "npx|{pkg:word}", "npx|-p|{pkg:word}|x", "uvx|--from={p:word}|x", "go|run|{p:word}", "go|test|-exec|{x:word}|./...", "go|install|{p:word}", "cargo|install|{p:word}", "uv|run|{x:word}",
		"tar|-I|{x:word}|-cf|x|y", "tar|--use-compress-program={x:word}|-cf|x|y", "tar|--use-comp={x:word}|-cf|x|y", "tar|--to-command={x:word}|-xf|/srv/x.tar", "tar|xIf|{x:word}|/srv/x.tar", "tar|-xf|{f:text}", "tar|-xvI|{x:word}|-f|x",
		"tar|--checkpoint-action=exec={x:word}|-cf|x|y", "cpio|-F|{f:word}", "find|.|-exec|{x:word}|;", "find|.|-execdir|{x:word}|+", "find|.|-exec|sh|-c|{x:text}|;", "fd|-x|{x:word}", "fd|--exec={x:word}",
		"ssh|-o|{o:word}|host|uptime", "ssh|-oProxyCommand={x:word}|host|uptime", "ssh|-F|{f:word}|host|uptime", "ssh|-J|{h:word}|host|uptime", "ssh|-tto|{x:word}|host", "scp|-S|{x:word}|a|host:/b", "scp|{f:text}|host:/b", "sftp|-b|{f:relpath}|host",
		"rsync|-e|{x:word}|a|b", "rsync|-ave|{x:word}|a|b", "rsync|--rsh={x:word}|a|b", "rsync|--rsync-path|{x:word}|a|b", "rsync|{f:text}|b", "ssh-keygen|-D|{x:relpath}", "ssh-agent|{x:word}", "tmux|send-keys|{x:text}", "screen|-X|stuff|{x:text}",
		"nc|-e|{x:word}|host|1", "socat|{x:text}|-", "socat|-|{x:word}", "socat|EXEC:{x:relpath}|-", "curl|-K|{f:relpath}", "curl|{url:text}", "curl|--proxy|{p:word}|https://a.example", "wget|-e|{x:word}|https://a.example", "wget|--use-askpass={x:word}|https://a.example",
		"openssl|dgst|-engine|{x:word}", "mail|{to:text}", "mail|-s|x|{to:text}", "convert|{f:text}|x.png", "convert|{f:relpath}|x.png", "gs|-c|{x:word}", "pdflatex|{x:text}", "m4|{f:relpath}", "dc|-e|{x:text}", "tcpdump|-z|{x:word}", "nmap|--script={x:word}|host",
		"rpm|--eval={x:word}", "dpkg|-i|{f:relpath}", "apt-get|-o|{x:word}|update", "ansible|all|-a|{x:word}", "ansible|all|-m|shell|-a|{x:text}", "ansible-playbook|{f:word}", "ansible-playbook|site.yml|-i|{f:word}", "ansible-playbook|site.yml|-e|{x:text}",
		"docker|run|{image:relpath}", "docker|run|-v|{v:word}|image", "docker|run|--entrypoint={x:word}|image", "docker|{sub:word}", "docker|-H|{h:word}|ps", "docker|exec|web|sh|-c|{x:text}", "kubectl|apply|--filename={f:word}", "kubectl|--server|{h:word}|get|pods",
		"terraform|-chdir={d:word}|apply", "terraform|{sub:word}", "java|-jar|{f:relpath}", "java|{cls:word}", "java|-javaagent={f:word}|-jar|/srv/x.jar", "crontab|{f:word}", "ldd|{f:relpath}", "jq|{filter:text}", "jq|-f|{f:word}|x", "yq|{x:word}",
		"perl|-ne|print|{f:relpath}", "perl|-pe|s/a/b/|{f:text}", "gosu|app|{x:word}", "pkexec|{x:word}", "firejail|{x:word}", "sudo|git|-c|{x:word}|status", "env|A=1|rsync|-e|{x:word}|a|b", "timeout|5|psql|-c|{x:word}",
		"rsync|-a|--rsh={x:word}|a|{f:relpath...}", "git|clone|{url:text...}", `find|.|-exec|vim|-c|{x:word}|;`,
	}
	for want, list := range map[bool][]string{true: allowed, false: refused} {
		for _, line := range list {
			argv := strings.Split(strings.ReplaceAll(line, "enum(ssh|rsh)", "enum(ssh\x01rsh)"), "|")
			for i := range argv {
				argv[i] = strings.ReplaceAll(argv[i], "\x01", "|")
			}
			argv[0] = "/usr/bin/" + argv[0]
			if _, err := policy.ParsePin("p", argv); (err == nil) != want {
				t.Errorf("%s: %v; want allowed=%v", line, err, want)
			}
		}
	}
	for pattern, want := range map[string]bool{"psql -c {x:word}": false, "find /srv -exec {x:word}": false, "git -C /srv pull": true, "docker logs {name:slug}": true, "rsync -e {x:word} a b": false} {
		if err := policy.Validate(policy.Policy{Exec: []string{pattern}}, nil, nil); (err == nil) != want {
			t.Errorf("on a server, %s: %v; want allowed=%v", pattern, err, want)
		}
	}
}
