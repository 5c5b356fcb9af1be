package ssh_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// Nothing that a client gets to see or is given holds the key: not its files, not its connection, not the session on the server.
func TestAttack47_TheBastionShowsNoKey(t *testing.T) {
	b := newBed(t, bedOptions{})
	out, errs, code := b.client(t, "", "ssh", "-v", "prod_vps_1", `env; ssh-add -L 2>&1; echo "agent: ${SSH_AUTH_SOCK:-none}"`)
	if code != 0 || !strings.Contains(out, "agent: none\n") {
		t.Fatalf("%d\n%s\n%s", code, out, errs)
	}
	config, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	known, err := os.ReadFile(filepath.Join(b.dir, "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	seen := out + errs + string(config) + string(known)
	for line := range strings.Lines(string(b.server.Key)) {
		if line = strings.TrimSpace(line); len(line) > 20 && strings.Contains(seen, line) {
			t.Error("a client sees a line of the key")
		}
	}
	if strings.Contains(seen, strings.Fields(b.server.HostKey)[1]) {
		t.Error("a client sees the server's own host key, by which it can be found")
	}
}

// The agent of a client is not carried to the server, which could sign with it.
func TestAttack48_TheBastionForwardsNoAgent(t *testing.T) {
	b := newBed(t, bedOptions{})
	cmd := b.command(t, "ssh", "-A", "-o", "IdentityAgent=SSH_AUTH_SOCK", "prod_vps_1", `echo "agent: ${SSH_AUTH_SOCK:-none}"`)
	cmd.Env = append(cmd.Env, "SSH_AUTH_SOCK="+someAgent(t))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || string(out) != "agent: none\n" || !strings.Contains(errs.String(), "the agent is not forwarded (-A)") {
		t.Errorf("%v %q %q", err, out, errs.String())
	}
	if !b.denied("agent-forwarding") {
		t.Errorf("not recorded: %+v", b.recorded())
	}
}

// denied tells whether a denial is recorded, which may be a moment after the client heard of it.
func (b *bed) denied(what string) bool {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		for _, e := range b.recorded() {
			if e.Kind == ssh.KindDenied && e.What == what && e.Handle == "prod_vps_1" && e.Code != "" {
				return true
			}
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// No client makes a tunnel of the server, and each hears why and what to do instead.
func TestAttack49_TheBastionMakesNoTunnel(t *testing.T) {
	b := newBed(t, bedOptions{})
	port := fmt.Sprint(b.server.Port)
	for _, c := range []struct {
		args []string
		what string
		says string
	}{
		{[]string{"-W", "127.0.0.2:" + port, "prod_vps_1"}, "direct-tcpip", "tunnels (-L, -W, -D, ProxyJump) through this server are refused"},
		{[]string{"-R", "0:127.0.0.2:" + port, "prod_vps_1", "true"}, "remote-forward", "(-R) is refused"},
		{[]string{"-R", filepath.Join(b.dir, "r.sock") + ":127.0.0.2:" + port, "prod_vps_1", "true"}, "remote-forward", "(-R) is refused"},
		{[]string{"-oForwardX11=yes", "-oXAuthLocation=/bin/true", "-Y", "prod_vps_1", "true"}, "x11", "X11 is not forwarded"},
		{[]string{"-J", "prod_vps_1", "elsewhere", "true"}, "direct-tcpip", "are refused"},
	} {
		cmd := b.command(t, "ssh", c.args...)
		cmd.Env = append(cmd.Env, "DISPLAY=:77")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, _ := cmd.Output()
		if !strings.Contains(errs.String(), c.says) || len(out) > 0 {
			t.Errorf("%s: %q %q", c.args, out, errs.String())
		}
		if !b.denied(c.what) {
			t.Errorf("%s is not recorded: %+v", c.what, b.recorded())
		}
	}
	client := dial(t, b)
	for _, kind := range []string{"direct-tcpip", "direct-streamlocal@openssh.com", "tun@openssh.com", "x11", "auth-agent@openssh.com", "forwarded-tcpip", "forwarded-streamlocal@openssh.com", "", "session@evil"} {
		if ch, _, err := client.OpenChannel(kind, make([]byte, 40)); err == nil {
			t.Errorf("%q was opened", kind)
			_ = ch.Close()
		}
	}
	for _, kind := range []string{"tcpip-forward", "cancel-tcpip-forward", "streamlocal-forward@openssh.com", "hostkeys-prove-00@openssh.com", "anything"} {
		if ok, _, err := client.SendRequest(kind, true, nil); err != nil || ok {
			t.Errorf("%q: %v %v", kind, ok, err)
		}
	}
	if log := b.server.Log(); strings.Contains(log, "forward") {
		t.Error("the server was asked to forward")
	}
}

// What the server itself says of where it is, by its name or by the variables that sshd sets, is masked: on every way.
func TestAttack49_TheBastionMasksTheAddress(t *testing.T) {
	b := newBed(t, bedOptions{})
	file := filepath.Join(t.TempDir(), "env")
	for _, args := range [][]string{
		{"ssh", "prod_vps_1", `env; tr '\0' '\n' < /proc/self/environ; echo $SSH_CONNECTION; echo 127.0.0.2; echo "$SSH_CLIENT" | tr . -`},
		{"ssh", "-tt", "prod_vps_1", "env"},
		{"ssh", "prod_vps_1", "export -p; env >&2; env > " + file},
		{"scp", "-s", "prod_vps_1:" + file, file + "1"},
		{"scp", "-O", "prod_vps_1:" + file, file + "2"},
		{"rsync", "--inplace", "prod_vps_1:" + file, file + "3"},
	} {
		out, errs, _ := b.client(t, "", args[0], args[1:]...)
		for _, copied := range []string{"1", "2", "3"} {
			got, _ := os.ReadFile(file + copied)
			out += string(got)
		}
		for _, hidden := range []string{"127.0.0.2", "127-0-0-2"} {
			if strings.Contains(out+errs, hidden) {
				t.Errorf("%s shows %s:\n%s%s", args, hidden, out, errs)
			}
		}
	}
	// Behind a NAT the server knows itself by another address than the one dialled: masked where it stands behind its name.
	out, _, _ := b.client(t, "", "ssh", "prod_vps_1", `printf 'SSH_CONNE'; sleep 0.1; printf 'CTION=203.0.113.5 5555 10.1.2.3 22\nSSH_CLIENT="2001:db8::9 1 22"\nSSH_CLIENTS=kept 10.1.2.3\n'`)
	if out != "SSH_CONNECTION=*********** **** ******** **\nSSH_CLIENT=\"*********** * **\"\nSSH_CLIENTS=kept 10.1.2.3\n" {
		t.Errorf("%q", out)
	}
}

// A value of the vault that the server holds does not come back: as text with its name, elsewhere at the same length; in one piece, dripped, on stderr.
func TestAttack68_AValueReadBackFromTheServer(t *testing.T) {
	b := newBed(t, bedOptions{})
	file := filepath.Join(t.TempDir(), ".env")
	text := "A=1\nTOKEN=" + planted + "\nB=2\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	marked := strings.ReplaceAll(text, planted, "[redacted:weather_bot.token]")
	filled := strings.ReplaceAll(text, planted, strings.Repeat("*", len(planted)))
	warned := "zavhoz: values that must stay hidden were masked in what came from prod_vps_1, at the same length: do not write it back\n"
	for _, c := range []struct{ line, out, errs string }{
		{"cat " + file, marked, ""},
		{"cat " + file + " >&2", "", marked},
		{"while IFS= read -r -n1 c; do printf %s \"${c:-$nl}\"; done < " + file + "; nl='\n'; sleep 0.2; echo", "", ""},
		{"head -c 20 " + file + "; sleep 0.3; tail -c +21 " + file, marked, ""}, // however long the pause
		{"dd status=none if=" + file, filled, warned},
		{"base64 -w0 " + file + "; rev " + file, "", ""},
	} {
		out, errs, _ := b.client(t, "", "ssh", "prod_vps_1", c.line)
		if strings.Contains(out+errs, planted) || strings.Contains(out+errs, planted[5:25]) {
			t.Errorf("%s shows it", c.line)
		}
		if c.out+c.errs != "" && (out != c.out || errs != c.errs) {
			t.Errorf("%s: %q %q", c.line, out, errs)
		}
	}
	for n, args := range [][]string{{"scp", "-s"}, {"scp", "-O"}, {"sftp"}, {"rsync", "--inplace"}} {
		to := fmt.Sprint(file, n)
		stdin := ""
		args = append(args, "prod_vps_1:"+file, to)
		if args[0] == "sftp" {
			args, stdin = []string{"sftp", "-q", "-b-", "prod_vps_1"}, "get "+file+" "+to+"\n"
		}
		_, errs, code := b.client(t, stdin, args[0], args[1:]...)
		got, _ := os.ReadFile(to)
		switch {
		case strings.Contains(string(got), planted):
			t.Errorf("%s brings it", args)
		case args[0] == "rsync": // it compares a sum of the whole
			if code == 0 && string(got) != filled {
				t.Errorf("%s: %q", args, got)
			}
		case string(got) != filled || code != 0 || !strings.Contains(errs, "masked"):
			t.Errorf("%s: %d %q %q", args, code, got, errs)
		}
	}
	// A name of a file is a value too.
	if err := os.WriteFile(file+planted, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, _ := b.client(t, "ls -a "+filepath.Dir(file)+"\n", "sftp", "-q", "prod_vps_1")
	if strings.Contains(out+errs, planted) || !strings.Contains(out, strings.Repeat("*", len(planted))) {
		t.Errorf("%q %q", out, errs)
	}
}

// Under patterns only those commands run, and nothing that would start others: no shell, no terminal with its pagers, no subsystem, no line that a shell reads
// differently. What was compared is what is sent.
func TestAttack68_OnlyTheCommandsOfThePolicy(t *testing.T) {
	patterns := []string{"echo {word:word}", "git-upload-pack /srv/git/{name:word}", "cat /etc/hostname", "rsync --server --sender -vlogDtpre.iLsfxCIvu . /etc/hostname"}
	b := newBed(t, bedOptions{exec: func(line string) error { return policy.MatchExec(patterns, line) }})
	for _, c := range []struct {
		args []string
		out  string
		says string
	}{
		{[]string{"ssh", "prod_vps_1", "echo", "hello"}, "hello\n", ""},
		{[]string{"ssh", "prod_vps_1", "'echo' 'hello'"}, "hello\n", ""},
		{[]string{"ssh", "-tt", "prod_vps_1", "echo", "hello"}, "", "a terminal is not among them (leave out -t)"},
		{[]string{"ssh", "prod_vps_1", "echo hello; id"}, "", "command_mismatch"},
		{[]string{"ssh", "prod_vps_1", "echo $HOME"}, "", "command_mismatch"},
		{[]string{"ssh", "prod_vps_1", "echo 'a b'"}, "", "command_mismatch"},
		{[]string{"ssh", "prod_vps_1", "id"}, "", "it takes: echo"},
		{[]string{"ssh", "prod_vps_1"}, "", "a shell is not among them"},
		{[]string{"ssh", "-tt", "prod_vps_1"}, "", "a shell is not among them"},
		{[]string{"ssh", "-s", "prod_vps_1", "sftp"}, "", "the subsystem sftp is not among them"},
		{[]string{"ssh", "-s", "prod_vps_1", "netconf"}, "", "the subsystem netconf is not among them"},
		{[]string{"scp", "-s", "prod_vps_1:/etc/hostname", b.dir}, "", "--sftp"},
		{[]string{"scp", "-O", "prod_vps_1:/etc/hostname", b.dir}, "", "copying is not among them"},
		{[]string{"rsync", "prod_vps_1:/etc/passwd", b.dir}, "", "copying is not among them"},
		{[]string{"git", "ls-remote", "prod_vps_1:/etc/x"}, "", "it takes: echo"},
		{[]string{"git", "ls-remote", "prod_vps_1:/srv/git/none"}, "", "does not appear to be a git repository"},
	} {
		out, errs, code := b.client(t, "id\n", c.args[0], c.args[1:]...)
		if strings.ReplaceAll(out, "\r", "") != c.out || !strings.Contains(errs, c.says) || (c.out == "") == (code == 0) {
			t.Errorf("%s: %d %q %q", c.args, code, out, errs)
		}
	}
	for _, e := range b.recorded() {
		if e.Terminal || e.Kind == ssh.KindShell || e.Kind == ssh.KindSubsystem {
			t.Errorf("%+v", e)
		}
	}
}

// Where the policy allows copying beside its patterns, sftp, scp and rsync pass, and no line that merely begins like them.
func TestCopyingUnderPatterns(t *testing.T) {
	b := newBed(t, bedOptions{copy: true, exec: func(line string) error { return policy.MatchExec([]string{"true"}, line) }})
	from := filepath.Join(t.TempDir(), "from")
	want := noise(t, from, 100_000)
	for n, args := range [][]string{{"scp", "-s"}, {"scp", "-O"}, {"scp", "-Orp"}, {"rsync", "-az"}} {
		to := fmt.Sprint(from, n)
		if _, errs, code := b.client(t, "", args[0], append(args[1:], "prod_vps_1:"+from, to)...); code != 0 || sum(t, to) != want {
			t.Errorf("%s: %d %s", args, code, errs)
		}
	}
	for _, line := range []string{
		"scp -t /tmp; id", "scp -S /bin/sh -f x", "scp -f -oProxyCommand=id x", "scp -f", "scp -f x y", "scp -f $(id)", "scp /etc/passwd /tmp/x", "scp -3 -f x", "rsync --server --daemon --config=/tmp/x .",
		"rsync --server --sender -e.LsfxC . `id`", "rsync --server --config=/tmp/x --daemon .", "rsync --server --rsh=id . x", "rsync -e id a:b c", "rsync --server . 'a b'", "sftp", "sh -c true", "scp -f x\nid",
	} {
		out, errs, code := b.client(t, "", "ssh", "prod_vps_1", line)
		if code != 255 || out != "" || !strings.Contains(errs, "zavhoz: command_") {
			t.Errorf("%s: %d %q %q", line, code, out, errs)
		}
	}
	for _, e := range b.recorded() {
		if e.Ended && e.Kind == ssh.KindExec && !strings.HasPrefix(e.Command, "scp ") && !strings.HasPrefix(e.Command, "rsync --server") {
			t.Errorf("%+v", e)
		}
	}
}

// Variables that steer the server's shell or loader do not pass; those of language and terminal do, where they look like it.
func TestAttack23_VariablesForTheServer(t *testing.T) {
	b := newBed(t, bedOptions{server: sshtest.Options{Config: []string{"AcceptEnv *"}}})
	s := session(t, dial(t, b))
	for name, value := range map[string]string{"LC_ALL": "C.UTF-8", "LANG": "de_DE.UTF-8@euro", "BASH_ENV": "/tmp/x", "LD_PRELOAD": "/tmp/x", "GIT_SSH_COMMAND": "x", "LC_PATH": "../../x", "LC_X": "a\nb", "LC_;": "x", "TERM": "vt100"} {
		err := s.Setenv(name, value)
		passes := name == "LC_ALL" || name == "LANG" || name == "TERM"
		if (err == nil) != passes {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
	out, err := s.Output("env")
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{"BASH_ENV", "LD_PRELOAD", "GIT_SSH", "LC_PATH", "LC_X"} {
		if bytes.Contains(out, []byte(gone)) {
			t.Errorf("%s passed", gone)
		}
	}
	for _, there := range []string{"LC_ALL=C.UTF-8\n", "LANG=de_DE.UTF-8@euro\n", "TERM=vt100\n"} {
		if !bytes.Contains(out, []byte(there)) {
			t.Errorf("%q is missing:\n%s", there, out)
		}
	}
}

// An unpinned or another host key: the client's person or model reads what to do, and nothing was sent.
func TestHostKeysOnTheClientsStderr(t *testing.T) {
	for code, change := range map[fault.Code]func(*ssh.Target){
		fault.HostKeyUnknown:   func(t *ssh.Target) { t.HostKey = "" },
		fault.HostKeyMismatch:  func(t *ssh.Target) { t.HostKey = ecdsaKey },
		fault.ConnectionFailed: func(t *ssh.Target) { t.Port = 1 },
	} {
		b := newBed(t, bedOptions{target: change})
		for _, args := range [][]string{{"ssh", "prod_vps_1", "id"}, {"ssh", "-tt", "prod_vps_1"}, {"scp", "prod_vps_1:/etc/hostname", b.dir}, {"rsync", "prod_vps_1:/etc/hostname", b.dir}, {"git", "ls-remote", "prod_vps_1:x"}} {
			out, errs, exit := b.client(t, "", args[0], args[1:]...)
			next := "--pin-host-key"
			if code == fault.ConnectionFailed {
				next = "try again later"
			}
			if out != "" || exit == 0 || (args[0] == "ssh" && exit != 255) || !strings.Contains(errs, "zavhoz: "+string(code)+": prod_vps_1: ") || !strings.Contains(errs, next) || strings.Contains(errs, "127.0.0.2") {
				t.Errorf("%s: %s: %d %q %q", code, args, exit, out, errs)
			}
		}
		if n := b.server.Logins(); n != 0 {
			t.Errorf("%s: %d logins", code, n)
		}
	}
}

// What cannot be recorded does not run; what ran and cannot be recorded is the last thing that does.
func TestNothingRunsUnrecorded(t *testing.T) {
	b := newBed(t, bedOptions{})
	mark := filepath.Join(t.TempDir(), "mark")
	b.mu.Lock()
	b.refuse = io.ErrShortWrite
	b.mu.Unlock()
	if out, errs, code := b.client(t, "", "ssh", "prod_vps_1", "touch "+mark); code != 255 || out != "" || !strings.Contains(errs, "audit_unavailable") {
		t.Errorf("%q %q %d", out, errs, code)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("it ran")
	}
	if _, _, err := dial(t, b).OpenChannel("x11", nil); err == nil {
		t.Error("opened")
	}
	b.mu.Lock()
	b.refuse = nil
	b.mu.Unlock()
	c := dial(t, b)
	s := session(t, c)
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("read x"); err != nil {
		t.Fatal(err)
	}
	b.await(t, func() bool {
		all := b.recorded()
		return all[len(all)-1].Kind == ssh.KindExec && !all[len(all)-1].Ended
	})
	b.mu.Lock()
	b.refuse = io.ErrShortWrite
	b.mu.Unlock()
	_ = in.Close()
	if err := s.Wait(); err == nil {
		t.Error("the client hears nothing of it")
	}
	_ = c.Wait() // the bastion ends it
	if _, err := xssh.Dial("tcp", b.addr.String(), &xssh.ClientConfig{HostKeyCallback: xssh.FixedHostKey(hostKey(t, b))}); err == nil {
		t.Error("the bastion goes on")
	}
}

// The record tells what ran and how it ended, masked before it is cut.
func TestEvents(t *testing.T) {
	b := newBed(t, bedOptions{})
	long := strings.Repeat("x", 500) + planted
	b.client(t, "", "ssh", "prod_vps_1", "exit 3; "+planted)
	b.client(t, "", "ssh", "prod_vps_1", ": "+long)
	b.client(t, "", "ssh", "-s", "prod_vps_1", "nothing")
	b.client(t, "", "ssh", "-tt", "prod_vps_1", "true")
	all := b.recorded()
	want := []ssh.Event{
		{Handle: "prod_vps_1", Kind: ssh.KindExec, Command: "exit 3; [redacted:weather_bot.token]"},
		{Handle: "prod_vps_1", Kind: ssh.KindExec, Command: "exit 3; [redacted:weather_bot.token]", Ended: true, Exit: ssh.Exit{Code: 3}},
		{Handle: "prod_vps_1", Kind: ssh.KindExec, Command: ": " + strings.Repeat("x", 500) + "[redacted:"},
		{Handle: "prod_vps_1", Kind: ssh.KindExec, Command: ": " + strings.Repeat("x", 500) + "[redacted:", Ended: true},
		{Handle: "prod_vps_1", Kind: ssh.KindSubsystem, Command: "nothing"},
		{Handle: "prod_vps_1", Kind: ssh.KindSubsystem, Command: "nothing", Ended: true, Exit: ssh.Exit{Code: 255}, Code: fault.NotSupported},
		{Handle: "prod_vps_1", Kind: ssh.KindExec, Command: "true", Terminal: true},
		{Handle: "prod_vps_1", Kind: ssh.KindExec, Command: "true", Terminal: true, Ended: true},
	}
	for i := range max(len(all), len(want)) {
		if i >= len(all) || i >= len(want) || all[i] != want[i] {
			t.Fatalf("event %d:\n%+v\nwant\n%+v", i, all[min(i, len(all)-1)], want[min(i, len(want)-1)])
		}
	}
}
