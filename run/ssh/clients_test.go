package ssh_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	xssh "golang.org/x/crypto/ssh"
)

// noise makes a file that no compression shortens, longer than any window.
func noise(t *testing.T, path string, n int) [32]byte {
	t.Helper()
	b := make([]byte, n)
	_, _ = rand.Read(b)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

func sum(t *testing.T, path string) [32]byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

// There and back, by each program that copies.
func TestCopying(t *testing.T) {
	b := newBed(t, bedOptions{})
	remote, local := t.TempDir(), t.TempDir()
	want := noise(t, filepath.Join(local, "there"), 9<<20+17)
	for name, c := range map[string]struct{ there, back []string }{
		"scp by sftp":        {[]string{"scp", "-s"}, []string{"scp", "-s"}},
		"scp by its own way": {[]string{"scp", "-O"}, []string{"scp", "-O"}},
		"rsync":              {[]string{"rsync", "-a"}, []string{"rsync", "-a"}},
		"rsync, compressed":  {[]string{"rsync", "-az"}, []string{"rsync", "-az"}},
	} {
		at, back := filepath.Join(remote, strings.ReplaceAll(name, " ", "_")), filepath.Join(local, "back")
		_ = os.Remove(back)
		_, errs, code := b.client(t, "", c.there[0], append(c.there[1:], filepath.Join(local, "there"), "prod_vps_1:"+at)...)
		if code != 0 || sum(t, at) != want {
			t.Errorf("%s, there: %d %s", name, code, errs)
		}
		_, errs, code = b.client(t, "", c.back[0], append(c.back[1:], "prod_vps_1:"+at, back)...)
		if code != 0 || errs != "" || sum(t, back) != want {
			t.Errorf("%s, back: %d %s", name, code, errs)
		}
	}
	out, errs, code := b.client(t, "cd "+remote+"\nput "+filepath.Join(local, "there")+" put\nget put "+filepath.Join(local, "got")+"\nls -l\nrename put moved\nls nothing-here\nmkdir d\nrmdir d\nrm moved\n", "sftp", "prod_vps_1")
	if code != 0 || sum(t, filepath.Join(local, "got")) != want || !strings.Contains(out, "rsync") || !strings.Contains(errs, "nothing-here") {
		t.Errorf("sftp: %d %s %s", code, out, errs)
	}
	// A tree of many small files: one question after the other.
	tree := filepath.Join(local, "tree")
	if err := os.MkdirAll(tree, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if err := os.WriteFile(filepath.Join(tree, fmt.Sprint(i)), bytes.Repeat([]byte{byte(i)}, i*100), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, how := range []string{"-rs", "-rO"} {
		if _, errs, code := b.client(t, "", "scp", "-q", how, "prod_vps_1:"+tree, filepath.Join(local, "copy"+how)); code != 0 || sum(t, filepath.Join(local, "copy"+how, "39")) != sum(t, filepath.Join(tree, "39")) {
			t.Errorf("scp %s: %d %s", how, code, errs)
		}
	}
}

// Clone, push and fetch over ssh.
func TestGit(t *testing.T) {
	b := newBed(t, bedOptions{})
	bare, work := filepath.Join(t.TempDir(), "repo.git"), filepath.Join(t.TempDir(), "work")
	noise(t, filepath.Join(b.dir, "noise"), 3<<20)
	for _, c := range [][]string{
		{"init", "-q", "--bare", bare},
		{"clone", "-q", "prod_vps_1:" + bare, work},
		{"-C", work, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "--allow-empty", "-m", "first"},
		{"-C", work, "push", "-q", "origin", "HEAD:main"},
		{"-C", work, "add", "."},
		{"-C", work, "fetch", "-q", "origin"},
		{"ls-remote", "ssh://prod_vps_1" + bare},
		{"clone", "-q", "-b", "main", "prod_vps_1:" + bare, work + "2"},
	} {
		if slices.Contains(c, "add") {
			if err := os.Rename(filepath.Join(b.dir, "noise"), filepath.Join(work, "noise")); err != nil {
				t.Fatal(err)
			}
		}
		if out, errs, code := b.client(t, "", "git", c...); code != 0 {
			t.Fatalf("git %s: %d %s %s", c, code, out, errs)
		}
	}
	for _, c := range [][]string{
		{"-C", work, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "second"},
		{"-C", work, "push", "-q", "origin", "HEAD:main"},
		{"-C", work + "2", "pull", "-q"},
	} {
		if out, errs, code := b.client(t, "", "git", c...); code != 0 {
			t.Fatalf("git %s: %d %s %s", c, code, out, errs)
		}
	}
	if sum(t, filepath.Join(work, "noise")) != sum(t, filepath.Join(work+"2", "noise")) {
		t.Error("what was pulled is not what was pushed")
	}
}

// Many sessions on one connection of a client, as ansible and others keep it.
func TestMultiplexing(t *testing.T) {
	b := newBed(t, bedOptions{})
	control := filepath.Join(b.dir, "control")
	options := []string{"-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", "ControlPath=" + control}
	var all sync.WaitGroup
	if out, errs, code := b.client(t, "", "ssh", append(options, "prod_vps_1", "echo", "first")...); out != "first\n" || code != 0 {
		t.Fatalf("%q %q %d", out, errs, code)
	}
	for i := range 12 {
		all.Go(func() {
			out, errs, code := b.client(t, "", "ssh", append(options, "prod_vps_1", fmt.Sprintf("echo %d; exit %d", i, i))...)
			if out != fmt.Sprintln(i) || code != i {
				t.Errorf("%d: %q %q %d", i, out, errs, code)
			}
		})
	}
	all.Wait()
	if _, errs, code := b.client(t, "", "ssh", append(options, "-O", "exit", "prod_vps_1")...); code != 0 {
		t.Errorf("%q %d", errs, code)
	}
}

// dial connects as a client that the test holds in its hand.
func dial(t *testing.T, b *bed) *xssh.Client {
	t.Helper()
	c, err := xssh.Dial("tcp", b.addr.String(), &xssh.ClientConfig{User: b.server.User, HostKeyCallback: xssh.FixedHostKey(hostKey(t, b))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func hostKey(t *testing.T, b *bed) xssh.PublicKey {
	t.Helper()
	k, _, _, _, err := xssh.ParseAuthorizedKey([]byte(b.HostKey()))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func session(t *testing.T, c *xssh.Client) *xssh.Session {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestExitSignals(t *testing.T) {
	b := newBed(t, bedOptions{})
	s := session(t, dial(t, b))
	var exit *xssh.ExitError
	if err := s.Run("kill -USR1 $$"); !asExit(err, &exit) || exit.Signal() != "USR1" {
		t.Errorf("%v", err)
	}
}

// The status comes before the end of the output: OpenSSH, multiplexing, closes a session that has ended both ways, and never hears a later one.
func TestTheStatusComesFirst(t *testing.T) {
	b := newBed(t, bedOptions{})
	c := dial(t, b)
	for _, line := range []string{"exit 3", "kill -USR1 $$"} {
		ch, reqs, err := c.OpenChannel("session", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ch.SendRequest("exec", true, xssh.Marshal(struct{ Line string }{line})); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, ch); err != nil {
			t.Fatal(err)
		}
		if len(reqs) != 1 {
			t.Errorf("%s: the output has ended, and no status is there", line)
		}
		_ = ch.Close()
		go xssh.DiscardRequests(reqs)
	}
}

func asExit(err error, exit **xssh.ExitError) bool {
	e, ok := err.(*xssh.ExitError)
	*exit = e
	return ok
}

// A terminal: its name and size arrive, the size changes, and its hang-up ends what runs on it.
func TestTerminal(t *testing.T) {
	b := newBed(t, bedOptions{})
	s := session(t, dial(t, b))
	if err := s.RequestPty("xterm-256color", 33, 101, xssh.TerminalModes{xssh.ECHO: 0}); err != nil {
		t.Fatal(err)
	}
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := newTranscript()
	s.Stdout = out
	if err := s.Start(`stty size; echo term=$TERM; until test "$(stty size)" = "44 202"; do sleep 0.05; done; echo resized; while read -r line; do eval "$line"; done; echo over`); err != nil {
		t.Fatal(err)
	}
	out.await(t, "33 101")
	out.await(t, "term=xterm-256color")
	if err := s.WindowChange(44, 202); err != nil {
		t.Fatal(err)
	}
	out.await(t, "resized")
	_, _ = io.WriteString(in, "tty && echo a-$((40+2))\n")
	out.await(t, "/dev/")
	out.await(t, "a-42\r\n")
	_, _ = in.Write([]byte{4}) // ^D
	out.await(t, "over")
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	cmd := b.command(t, "ssh", "-tt", "prod_vps_1", "tty; exit 3")
	cmd.Stdin = nil
	got, err := cmd.Output()
	if cmd.ProcessState.ExitCode() != 3 || !strings.HasPrefix(string(got), "/dev/") {
		t.Errorf("%q %v", got, err)
	}
}

// What the client signals, the server's command gets; sshd passes signals on for ordinary users only.
func TestSignalsReachTheServer(t *testing.T) {
	b := newBed(t, bedOptions{})
	s := session(t, dial(t, b))
	out := newTranscript()
	s.Stdout = out
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("echo begun; read x"); err != nil {
		t.Fatal(err)
	}
	out.await(t, "begun")
	if err := s.Signal(xssh.SIGINT); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // sshd says that it got it, and why it does nothing
		b.server.Await(t, "session signalling requires privilege separation")
		_ = in.Close()
		_ = s.Wait()
		return
	}
	var exit *xssh.ExitError
	if err := s.Wait(); !asExit(err, &exit) || exit.Signal() != "INT" {
		t.Errorf("%v", err)
	}
}

// A client that goes takes its command with it: no reader, no command.
func TestAClientThatGoes(t *testing.T) {
	b := newBed(t, bedOptions{})
	c := dial(t, b)
	s := session(t, c)
	out := newTranscript()
	s.Stdout = out
	gone := filepath.Join(t.TempDir(), "gone")
	if err := s.Start("trap 'touch " + gone + "' PIPE HUP TERM; echo begun; while test ! -e " + gone + "; do echo x || touch " + gone + "; sleep 0.05; done"); err != nil {
		t.Fatal(err)
	}
	out.await(t, "begun")
	_ = c.Close()
	b.await(t, func() bool { _, err := os.Stat(gone); return err == nil })
	b.await(t, func() bool {
		all := b.recorded()
		return all[len(all)-1].Ended && all[len(all)-1].Exit.Code == -1
	})
}

// yes | ssh HANDLE head: the far side reads no more, and the near side hears of it.
func TestACommandThatStopsReading(t *testing.T) {
	b := newBed(t, bedOptions{})
	cmd := b.command(t, "ssh", "prod_vps_1", "exec head -c 2")
	endless, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	yes := exec.CommandContext(t.Context(), "yes")
	yes.Stdout = w
	if err := yes.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	cmd.Stdin = endless
	out, err := cmd.Output()
	if err != nil || string(out) != "y\n" {
		t.Errorf("%q %v", out, err)
	}
	_ = endless.Close()
	_ = yes.Wait() // killed by the pipe
}

// Both directions full at once, longer than every window: nobody waits for the other for ever.
func TestBothWaysAtOnce(t *testing.T) {
	b := newBed(t, bedOptions{})
	from := filepath.Join(t.TempDir(), "from")
	want := noise(t, from, 24<<20)
	for _, line := range []string{"cat", "cat | dd bs=64k status=none"} {
		cmd := b.command(t, "ssh", "prod_vps_1", line)
		in, err := os.Open(from)
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.New()
		cmd.Stdin, cmd.Stdout, cmd.Stderr = in, hash, os.Stderr
		if err := cmd.Run(); err != nil || [32]byte(hash.Sum(nil)) != want {
			t.Errorf("%s: %v, or other bytes", line, err)
		}
		_ = in.Close()
	}
}
