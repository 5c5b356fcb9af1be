package policy_test

import (
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/policy"
)

// One row a program that public lists know to run what it is given: a hole where it would is refused, with the reason, and one where it is data is allowed ("" where
// there is no such place). Elements are apart by "|".
func TestProgramsThatRunTheirArguments(t *testing.T) {
	for _, row := range [][2]string{
		// what runs the rest of its line
		{"env|{x:word}", "env|A=1|/srv/x|{x:word}"}, {"xargs|{x:word}", "xargs|-0|/srv/x|{x:word}"}, {"nice|-n|5|{x:word}", "nice|-n|5|/srv/x|{x:text}"}, {"timeout|5|{x:word}", "timeout|5|/srv/x|{x:word}"},
		{"systemd-run|{x:word}", "systemd-run|/srv/x|{x:slug}"}, {"busybox|{x:word}", "busybox|wc|{f:relpath}"}, {"aa-exec|{x:word}", "aa-exec|--|/srv/x|{x:word}"}, {"choom|-n|5|--|{x:word}", "choom|-n|5|--|/srv/x|{x:word}"},
		{"cpulimit|--|{x:word}", ""}, {"setarch|x86_64|{x:word}", "setarch|x86_64|/srv/x|{x:word}"}, {"setlock|/srv/l|{x:word}", ""}, {"softlimit|{x:word}", ""}, {"multitime|{x:word}", ""}, {"pexec|{x:word}", ""},
		{"rlwrap|{x:word}", ""}, {"torify|{x:word}", "torify|/srv/x|{x:word}"}, {"chpst|{x:word}", ""}, {"eatmydata|{x:word}", ""}, {"envdir|/srv/e|{x:word}", ""}, {"grc|{x:word}", ""}, {"logsave|/srv/l|{x:word}", ""},
		{"run0|{x:word}", ""}, {"systemd-inhibit|{x:word}", ""}, {"systemd-nspawn|{x:word}", ""}, {"dbus-launch|{x:word}", ""}, {"watchexec|--|{x:word}", ""}, {"distcc|{x:word}", ""}, {"ccache|{x:word}", ""}, {"chronic|{x:word}", ""},
		{"sem|{x:word}", ""}, {"nodemon|{x:word}", ""}, {"openvt|--|{x:word}", ""}, {"ksu|{x:word}", ""}, {"run-one|{x:word}", ""}, {"stdbuf|-oL|{x:word}", "stdbuf|--|/srv/x|{x:word}"},
		{"start-stop-daemon|{x:word}", ""}, {"script|-c|{x:text}", ""}, {"watch|{x:text}", ""}, {"parallel|{x:text}", ""}, {"strace|{x:word}", ""}, {"flock|/srv/l|{x:word}", "flock|/srv/l|/srv/x|{x:word}"},
		// interpreters
		{"perl|-e|{x:text}", "perl|/srv/x.pl|{x:text}"}, {"python3|-c|{x:text}", "python3|/srv/x.py|{x:text}"}, {"ruby|-e|{x:text}", "ruby|/srv/x.rb|{x:text}"}, {"node|-e|{x:text}", "node|/srv/x.js|{x:text}"},
		{"awk|{x:text}", "awk|{print}|{f:relpath}"}, {"yash|-c|{x:text}", "yash|/srv/x|{x:word}"}, {"sash|-c|{x:text}", ""}, {"irb|{f:relpath}", ""}, {"pry|-e|{x:text}", ""}, {"jrunscript|-e|{x:text}", ""}, {"julia|-e|{x:text}", "julia|/srv/x.jl|{x:word}"},
		{"octave|--eval|{x:text}", ""}, {"R|-e|{x:text}", ""}, {"ghci|{f:relpath}", ""}, {"ghc|-e|{x:text}", ""}, {"clisp|-x|{x:text}", ""}, {"sbcl|--eval|{x:text}", ""}, {"guile|-c|{x:text}", ""}, {"racket|-e|{x:text}", ""},
		{"elixir|-e|{x:text}", ""}, {"erl|-eval|{x:text}", ""}, {"swipl|-g|{x:text}", ""}, {"scala|-e|{x:text}", ""}, {"ocaml|{f:relpath}", ""}, {"wish|{f:relpath}", ""}, {"slsh|-e|{x:text}", ""}, {"ts-node|-e|{x:text}", "ts-node|/srv/x.ts|{x:word}"},
		{"gnuplot|-e|{x:text}", "gnuplot|/srv/x.gp"}, {"bpftrace|-e|{x:text}", ""}, {"dtrace|-n|{x:text}", ""}, {"stap|-e|{x:text}", ""},
		// what an option makes run
		{"sqlite3|/srv/x.db|{x:text}", "sqlite3|/srv/x.db|select {n:int}"}, {"psql|-c|{x:text}", "psql|-v|id={id:uint}|-f|/srv/x.sql"}, {"gdb|-ex|{x:text}", "gdb|-batch|-ex|bt|/srv/x|{p:uint}"}, {"vim|-c|{x:text}", ""}, {"git|-c|core.pager={x:word}|log", "git|log|--grep={x:text}"},
		{"git|-c|{x:word}|status", ""}, {"make|SHELL={x:word}", "make|deploy|V={v:semver}"}, {"tar|-cf|x.tar|--checkpoint-action={x:word}|src", "tar|-czf|{o:relpath}|src"}, {"find|.|-exec|{x:word}|;", "find|{d:relpath}|-name|{n:text}"},
		{"ssh|-o|{x:text}|host", "ssh|-p|{p:uint}|host|uptime"}, {"ssh|-oProxyCommand={x:word}|host", ""}, {"rsync|-e|{x:word}|a|b", "rsync|-avz|{d:relpath}|host:/srv"}, {"docker|run|{i:word}", "docker|logs|{n:slug}"}, {"docker|run|--rm|-e|TOKEN|{i:word}", "docker|run|--rm|-e|TOKEN|image|{x:word}"}, {"docker|exec|-it|web|{x:word}", "docker|exec|-it|{c:word}|/srv/x|{x:text}"}, {"docker|exec|{c:word}|{x:word}", ""}, {"kubectl|exec|-n|ns|pod|--|{x:word}", "kubectl|exec|{p:word}|-c|app|--|/srv/x|{x:text}"}, {"kubectl|exec|pod|--|{x:word}|-c|{y:text}", "kubectl|exec|pod|--|/srv/x|{x:text}"},
		{"nmap|--script|{x:word}|host", "nmap|-p|{p:uint}|host"}, {"zip|-T|-TT|{x:word}|a.zip|f", "zip|-r|{o:relpath}|src"}, {"zip|-TT{x:word}|a.zip|f", ""}, {"less|{f:relpath}", ""}, {"gcc|-wrapper|{x:word}|x.c", "gcc|-O2|-o|x|{f:relpath}"},
		{"gcc|-fplugin={x:word}|x.c", ""}, {"gcc|-B{x:word}|x.c", ""}, {"hg|--config|{x:word}|log", "hg|log|-r|{r:uint}"}, {"svn|--config-option|{x:word}|up", "svn|update|-r|{r:uint}"}, {"hg|clone|{u:text}", ""}, {"gh|alias|set|a|{x:word}", "gh|pr|view|{n:uint}"},
		{"restic|--password-command={x:word}|backup", "restic|backup|{d:relpath}"}, {"borg|--rsh|{x:word}|list", ""}, {"rclone|--config|{x:word}|ls", ""}, {"aws|--endpoint-url|{x:word}|s3|ls", "aws|s3|cp|{f:relpath}|s3://b/k"}, {"aws|ec2|run|{x:text}", ""},
		{"gcloud|compute|ssh|vm|--command={x:word}", "gcloud|compute|instances|describe|{n:slug}"}, {"mvn|-f|{x:word}", "mvn|deploy"}, {"gradle|-I|{x:word}", ""}, {"cmake|-P|{x:word}", ""}, {"ant|-f|{x:word}", ""}, {"pytest|{f:relpath}", "pytest|/srv/t|-k|{n:word}"},
		{"rspec|-r|{x:word}", ""}, {"cqlsh|-e|{x:word}", ""}, {"sqlplus|{x:text}", ""}, {"lftp|-c|{x:word}", ""}, {"ftp|{x:text}", ""}, {"psftp|-b|{x:word}", ""}, {"smbclient|//h/s|-c|{x:text}", ""}, {"lynx|{x:text}", ""},
		{"certbot|renew|--deploy-hook|{x:word}", "certbot|renew|--cert-name|{n:word}"}, {"aria2c|--on-download-complete={x:word}|https://a.example", ""}, {"pandoc|--filter|{x:word}|x.md", "pandoc|-o|{o:relpath}|x.md"},
		{"blender|-P|{x:word}", ""}, {"gimp|-b|{x:word}", ""}, {"latexmk|-e|{x:word}", ""}, {"exiftool|-if|{x:word}|f", "exiftool|{f:relpath}"}, {"openvpn|--up|{x:word}", ""}, {"systemctl|link|{f:relpath}", "systemctl|restart|{u:slug}"}, {"systemctl|-H|{h:word}|status", ""},
		{"ip|netns|exec|ns|{x:word}", "ip|route|get|{n:word}"}, {"ip|-b|{f:word}", ""}, {"puppet|apply|-e|{x:word}", ""}, {"knife|exec|-E|{x:text}", ""}, {"vagrant|ssh|-c|{x:word}", ""}, {"virsh|-c|{x:word}|list", "virsh|start|{n:slug}"}, {"nginx|-c|{f:word}", ""},
		{"debugfs|-R|{x:text}|/dev/x", ""}, {"sqlmap|--os-cmd={x:word}", ""}, {"msfconsole|-x|{x:word}", ""}, {"dnf|--setopt={x:word}|update", ""}, {"pacman|--hookdir|{x:word}", ""}, {"apk|--repository|{x:word}|add|x", ""}, {"snap|run|{x:word}", ""},
		{"xdotool|exec|{x:word}", "xdotool|key|{k:word}"}, {"sort|--compress-program={x:word}|f", "sort|-n|{f:relpath}"}, {"split|--filter={x:word}|f", "split|-b|{n:uint}|{f:relpath}"}, {"install|--strip-program={x:word}|a|b", "install|-m|0644|{f:relpath}|/srv/x"},
		{"sshfs|-o|{x:word}|h:/|/mnt", ""}, {"cowsay|-f|{x:word}|hi", "cowsay|{x:text}"}, {"sysctl|-w|{x:word}", ""}, {"busctl|call|{x:text}", ""}, {"at|{x:text}", ""}, {"update-alternatives|--install|{x:relpath}", ""}, {"logrotate|{f:relpath}", ""},
		{"msgfilter|{x:word}", ""}, {"mount|-o|{x:word}|a|b", ""}, {"hyperfine|{x:text}", ""}, {"crontab|{f:relpath}", ""}, {"tcpdump|-z|{x:word}", "tcpdump|-c|{n:uint}"}, {"curl|-K|{f:word}", "curl|--max-time|{n:uint}|https://a.example"},
		{"openssl|req|-engine|{x:word}", "openssl|x509|-in|{f:relpath}"}, {"ld.so|{f:relpath}", ""}, {"emacs|--eval|{x:text}", ""}, {"nano|{f:relpath}", ""}, {"man|{x:text}", "man|{x:word}"}, {"socat|{x:text}", ""}, {"expect|-c|{x:text}", ""},
	} {
		refused, allowed := argvOf(row[0]), argvOf(row[1])
		if _, err := policy.ParsePin("p", refused); err == nil {
			t.Errorf("%s is allowed", row[0])
		} else if !strings.Contains(err.Error(), "hole") {
			t.Errorf("%s is refused without the reason: %v", row[0], err)
		}
		if row[1] == "" {
			continue
		}
		if _, err := policy.ParsePin("p", allowed); err != nil {
			t.Errorf("%s: %v", row[1], err)
		}
	}
}

func argvOf(line string) []string {
	argv := strings.Split(line, "|")
	argv[0] = "/usr/bin/" + argv[0]
	return argv
}
