package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

func target(s *sshtest.Server) ssh.Target {
	return ssh.Target{
		ID: "res_one", Version: 1, Handle: "prod_vps_1", User: s.User, Port: s.Port, HostKey: s.HostKey,
		Open: func() (ssh.Secrets, error) {
			return ssh.Secrets{Host: secret.FromString(s.Host), Key: secret.New(bytes.Clone(s.Key))}, nil
		},
	}
}

func newPool(t testing.TB, o ssh.Options) *ssh.Pool {
	p := ssh.NewPool(o)
	t.Cleanup(p.Close)
	return p
}

// watcher tells when a text has come.
type watcher struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	want string
	seen chan struct{}
	once sync.Once
}

func watch(want string) *watcher { return &watcher{want: want, seen: make(chan struct{})} }

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(p)
	if strings.Contains(w.buf.String(), w.want) {
		w.once.Do(func() { close(w.seen) })
	}
	return len(p), nil
}

func do(t *testing.T, p *ssh.Pool, tg ssh.Target, c ssh.Command) (stdout, stderr string, exit ssh.Exit, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	s, err := p.Connect(t.Context(), tg)
	if err != nil {
		return "", "", exit, err
	}
	c.Stdout, c.Stderr = &out, &errs
	exit, err = s.Run(t.Context(), c)
	return out.String(), errs.String(), exit, err
}

func TestCommandsOnARealServer(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	p := newPool(t, ssh.Options{})
	big := strings.Repeat("0123456789abcdef", 1<<16)
	for _, c := range []struct {
		line, stdin, out, errs string
		exit                   ssh.Exit
	}{
		{line: "echo hello", out: "hello\n"},
		{line: "echo out; echo err >&2; exit 7", out: "out\n", errs: "err\n", exit: ssh.Exit{Code: 7}},
		{line: "cat", stdin: big, out: big},
		{line: "head -c 3", stdin: big, out: "012"},
		{line: "kill -TERM $$", exit: ssh.Exit{Code: 143, Signal: "TERM"}},
		{line: "test -t 0 || echo no terminal", out: "no terminal\n"},
		{line: "no-such-command 2>/dev/null", exit: ssh.Exit{Code: 127}},
	} {
		out, errs, exit, err := do(t, p, target(server), ssh.Command{Line: c.line, Stdin: []byte(c.stdin)})
		if err != nil || out != c.out || errs != c.errs || exit != c.exit {
			t.Errorf("%s: %d bytes, %q, %+v, %v", c.line, len(out), errs, exit, err)
		}
	}
	if n := server.Logins(); n != 1 {
		t.Errorf("%d logins for one server", n)
	}
}

func TestKeysWithAPassphrase(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	key := server.EncryptedKey(t)
	p := newPool(t, ssh.Options{})
	for name, c := range map[string]struct {
		passphrase string
		code       fault.Code
	}{"right": {server.Passphrase, ""}, "wrong": {"no", fault.RemoteAuthFailed}, "none": {"", fault.RemoteAuthFailed}} {
		tg := target(server)
		tg.ID = name
		var given ssh.Secrets
		tg.Open = func() (ssh.Secrets, error) {
			given = ssh.Secrets{Host: secret.FromString(server.Host), Key: secret.New(bytes.Clone(key)), Passphrase: secret.FromString(c.passphrase)}
			return given, nil
		}
		_, _, _, err := do(t, p, tg, ssh.Command{Line: "true"})
		if fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
		if !given.Host.IsZero() || !given.Key.IsZero() || !given.Passphrase.IsZero() {
			t.Errorf("%s: what was opened was not wiped", name)
		}
	}
}

// Whatever goes wrong, the error names the handle and a class; neither address nor key (threat-model.md 65).
func TestAttack65_DialErrorsShowNoAddress(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	other := sshtest.Start(t, sshtest.Options{})
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gone := sshtest.Start(t, sshtest.Options{})
	gone.Stop()
	at := func(s *sshtest.Server, edit func(*ssh.Target)) ssh.Target {
		tg := target(s)
		edit(&tg)
		return tg
	}
	for name, c := range map[string]struct {
		tg    ssh.Target
		code  fault.Code
		class any
	}{
		"no host key":      {at(server, func(t *ssh.Target) { t.HostKey = " # none\n" }), fault.HostKeyUnknown, nil},
		"bad host key":     {at(server, func(t *ssh.Target) { t.HostKey = "ssh-ed25519 nonsense" }), fault.HostKeyUnknown, nil},
		"another host key": {at(server, func(t *ssh.Target) { t.HostKey = other.HostKey }), fault.HostKeyMismatch, nil},
		"other key type":   {at(server, func(t *ssh.Target) { t.HostKey = ecdsaKey }), fault.HostKeyMismatch, nil},
		"another's key": {at(server, func(t *ssh.Target) {
			t.Open = func() (ssh.Secrets, error) {
				return ssh.Secrets{Host: secret.FromString(server.Host), Key: secret.New(bytes.Clone(other.Key))}, nil
			}
		}), fault.RemoteAuthFailed, nil},
		"a password where none is taken": {at(server, func(t *ssh.Target) {
			t.Open = func() (ssh.Secrets, error) {
				return ssh.Secrets{Host: secret.FromString(server.Host), Password: secret.FromString("canary-77")}, nil
			}
		}), fault.RemoteAuthFailed, nil},
		"no credential": {at(server, func(t *ssh.Target) {
			t.Open = func() (ssh.Secrets, error) { return ssh.Secrets{Host: secret.FromString(server.Host)}, nil }
		}), fault.SecretMissing, nil},
		"nobody listens": {target(gone), fault.ConnectionFailed, string(ssh.Refused)},
		"silence":        {at(server, func(t *ssh.Target) { t.Port = silent.Addr().(*net.TCPAddr).Port }), fault.ConnectionFailed, string(ssh.TimedOut)},
		"no such name": {at(server, func(t *ssh.Target) {
			t.Open = func() (ssh.Secrets, error) {
				return ssh.Secrets{Host: secret.FromString("no-such-host.invalid"), Key: secret.New(bytes.Clone(server.Key))}, nil
			}
		}), fault.ConnectionFailed, string(ssh.DNS)},
	} {
		p := newPool(t, ssh.Options{DialTimeout: 500 * time.Millisecond})
		if name != "silence" {
			p = newPool(t, ssh.Options{})
		}
		_, _, _, err := do(t, p, c.tg, ssh.Command{Line: "true"})
		f := fault.Of(err)
		if f == nil || f.Code != c.code || f.Details["class"] != c.class {
			t.Errorf("%s: %v %v", name, err, f)
			continue
		}
		for _, hidden := range []string{"127.0.0.1", "no-such-host", "canary", server.Host} {
			if strings.Contains(f.Error(), hidden) {
				t.Errorf("%s shows %q: %v", name, hidden, f)
			}
		}
	}
	if n := server.Logins(); n != 0 {
		t.Errorf("%d logins", n)
	}
}

const ecdsaKey = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="

// A connection that died in the pool is dialled again; the command was not sent before, so it runs once.
func TestADeadConnectionIsDialledAgain(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	p := newPool(t, ssh.Options{})
	for want := 1; want <= 3; want++ {
		if out, _, _, err := do(t, p, target(server), ssh.Command{Line: "echo once"}); err != nil || out != "once\n" {
			t.Fatalf("%q %v", out, err)
		}
		if n := server.Logins(); n != want {
			t.Fatalf("%d logins, want %d", n, want)
		}
		server.Drop(t)
	}
}

// A connection that breaks while the command runs is reported, never retried.
func TestABrokenCommandIsNotRunAgain(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	p := newPool(t, ssh.Options{})
	s, err := p.Connect(t.Context(), target(server))
	if err != nil {
		t.Fatal(err)
	}
	out := watch("begun")
	result := make(chan error)
	go func() {
		_, err := s.Run(t.Context(), ssh.Command{Line: "echo begun; while sleep 0.2; do echo still; done", Stdout: out})
		result <- err
	}()
	<-out.seen
	server.Drop(t)
	f := fault.Of(<-result)
	if f == nil || f.Code != fault.ConnectionFailed || f.Details["class"] != string(ssh.Broken) || server.Logins() != 1 {
		t.Errorf("%v, %d logins", f, server.Logins())
	}
}

func TestAnEditedResourceGetsAConnectionOfItsOwn(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	p := newPool(t, ssh.Options{})
	tg := target(server)
	for range 2 {
		if _, _, _, err := do(t, p, tg, ssh.Command{Line: "true"}); err != nil {
			t.Fatal(err)
		}
	}
	tg.Version++
	tg.Open = func() (ssh.Secrets, error) { return ssh.Secrets{}, fault.New(fault.VaultLocked, "locked", "") }
	if _, _, _, err := do(t, p, tg, ssh.Command{Line: "true"}); fault.CodeOf(err) != fault.VaultLocked {
		t.Errorf("the old connection was used: %v", err)
	}
	tg = target(server)
	p.Forget(tg.ID)
	if _, _, _, err := do(t, p, tg, ssh.Command{Line: "true"}); err != nil || server.Logins() != 2 {
		t.Errorf("%v, %d logins", err, server.Logins())
	}
}

// More commands at once than a connection takes: more connections, and all succeed.
func TestManyCommandsAtOnce(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{Config: []string{"MaxSessions 3"}})
	p := newPool(t, ssh.Options{})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			var out bytes.Buffer
			s, err := p.Connect(t.Context(), target(server))
			if err != nil {
				t.Error(err)
				return
			}
			exit, err := s.Run(t.Context(), ssh.Command{Line: "cat", Stdin: []byte("x"), Stdout: &out})
			if err != nil || exit.Code != 0 || out.String() != "x" {
				t.Errorf("%+v %v %q", exit, err, out.String())
			}
		})
	}
	all.Wait()
}

func TestStopEndsTheRemoteCommand(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	p := newPool(t, ssh.Options{Grace: 100 * time.Millisecond})
	why := errors.New("stopped")
	alive := t.TempDir() // when it goes, so does the stubborn command
	for name, line := range map[string]string{
		"at TERM":            "echo begun; while test -e " + alive + "; do sleep 0.2; done", // sshd signals only for an ordinary user
		"when it ignores it": "trap '' TERM HUP PIPE; echo begun; while test -e " + alive + "; do sleep 0.2; done",
	} {
		s, err := p.Connect(t.Context(), target(server))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		out := watch("begun")
		go func() { <-out.seen; cancel(why) }()
		if _, err := s.Run(ctx, ssh.Command{Line: line, Stdout: out}); !errors.Is(err, why) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the server itself knows of the connection is in Hidden.
func TestAttack49_HiddenHoldsTheAddress(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	tg := target(server)
	tg.Open = func() (ssh.Secrets, error) {
		return ssh.Secrets{Host: secret.FromString("localhost"), Key: secret.New(bytes.Clone(server.Key))}, nil
	}
	s, err := newPool(t, ssh.Options{}).Connect(t.Context(), tg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []string
	for _, h := range s.Hidden() {
		got = append(got, string(h.Reveal()))
	}
	want := "localhost 127.0.0.1 ::ffff:127.0.0.1 127-0-0-1 127_0_0_1 1.0.0.127 1-0-0-127 127.000.000.001 2130706433 7f00:1 7f000001 7F000001 0100007f 0100007F"
	if strings.Join(got, " ") != want {
		t.Errorf("%q", got)
	}
}

func TestIdleConnectionsClose(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	p := newPool(t, ssh.Options{Idle: time.Millisecond})
	if _, _, _, err := do(t, p, target(server), ssh.Command{Line: "true"}); err != nil {
		t.Fatal(err)
	}
	server.Await(t, "Closing connection to")
}

func TestLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"uptime"}, "uptime"}, {[]string{"echo", "a b", "*"}, "echo a b *"}, {[]string{"--", "ls"}, "ls"}, {[]string{"-p", "22"}, "-p 22"},
		{nil, ""}, {[]string{"--"}, ""}, {[]string{" "}, ""}, {[]string{"a\x00b"}, ""},
	} {
		got, err := ssh.Line(c.args)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q: %q %v", c.args, got, err)
		}
	}
}

func TestScanHostKey(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	key, err := ssh.ScanHostKey(t.Context(), secret.FromString(server.Host), server.Port)
	if err != nil || key.Line != server.HostKey || !strings.HasPrefix(key.Fingerprint, "SHA256:") || key.Type != "ssh-ed25519" {
		t.Errorf("%+v %v", key, err)
	}
	if server.Logins() != 0 {
		t.Error("a scan logged in")
	}
	server.Stop()
	if _, err := ssh.ScanHostKey(t.Context(), secret.FromString(server.Host), server.Port); fault.CodeOf(err) != fault.ConnectionFailed || strings.Contains(err.Error(), server.Host) {
		t.Errorf("%v", err)
	}
}

func TestAClosedPoolRefuses(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	p := ssh.NewPool(ssh.Options{})
	if _, _, _, err := do(t, p, target(server), ssh.Command{Line: "true"}); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if _, _, _, err := do(t, p, target(server), ssh.Command{Line: "true"}); !errors.Is(err, ssh.ErrClosed) {
		t.Errorf("%v", err)
	}
}
