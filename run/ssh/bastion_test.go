package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// bed is a bastion in front of a real server, with what a run has: masks that learn the server's address, a record, and clients' files.
type bed struct {
	*ssh.Bastion
	server *sshtest.Server
	addr   netip.AddrPort
	dir    string // with config and known_hosts
	config string

	mu     sync.Mutex
	events []ssh.Event
	refuse error // what Record gives
}

// planted is a value of the vault that lies on the server too.
const planted = "canary-4417-do-not-show-me"

type bedOptions struct {
	exec   func(string) error
	copy   bool
	jump   *ssh.Jump
	pool   ssh.Options
	limits ssh.Limits
	target func(*ssh.Target)
	server sshtest.Options

	connect func(context.Context) (*ssh.Session, error) // instead of the bed's own server
	change  func(*ssh.BastionOptions)
}

func newBed(t testing.TB, o bedOptions) *bed {
	t.Helper()
	o.server.Host = "127.0.0.2" // not where the bastion is
	b := &bed{server: sshtest.Start(t, o.server), dir: t.TempDir()}
	pool := ssh.NewPool(o.pool)
	t.Cleanup(pool.Close)
	tg := target(b.server)
	if o.target != nil {
		o.target(&tg)
	}
	text, fill := redact.NewSet(redact.Options{}), redact.NewSet(redact.Options{Fill: '*'})
	learn := func(name string, s secret.Secret) { _, _ = text.Add(name, s), fill.Add(name, s) }
	learn("weather_bot.token", secret.FromString(planted))
	var once sync.Once
	options := ssh.BastionOptions{
		Handle: "prod_vps_1", User: b.server.User, Exec: o.exec, Copy: o.copy, Jump: o.jump, Limits: o.limits, Record: b.record,
		Connect: func(ctx context.Context) (*ssh.Session, error) {
			s, err := pool.Connect(ctx, tg)
			if err == nil {
				once.Do(func() {
					for _, h := range s.Hidden() {
						learn("prod_vps_1.host", h)
					}
				})
			}
			return s, err
		},
		Mask: func(w io.Writer) io.WriteCloser { return text.Stream(w) },
		Fill: func(w io.Writer) io.WriteCloser { return fill.Stream(w) },
	}
	if o.connect != nil {
		options.Connect = o.connect
	}
	if o.change != nil {
		o.change(&options)
	}
	bastion, err := ssh.NewBastion(options)
	if err != nil {
		t.Fatal(err)
	}
	b.Bastion = bastion
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = l.Addr().(*net.TCPAddr).AddrPort()
	served := make(chan error, 1)
	go func() { served <- b.Serve(l) }()
	t.Cleanup(func() {
		_ = b.Close()
		if err := <-served; !errors.Is(err, ssh.ErrClosed) {
			t.Errorf("Serve gave %v", err)
		}
	})
	known := filepath.Join(b.dir, "known_hosts")
	config, hosts, err := ssh.ClientConfig([]ssh.Alias{{Handle: "prod_vps_1", Addr: b.addr, User: b.server.User, HostKey: b.HostKey()}}, known)
	if err != nil {
		t.Fatal(err)
	}
	b.config = filepath.Join(b.dir, "config")
	for path, data := range map[string][]byte{b.config: config, known: hosts} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *bed) record(e ssh.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, e)
	return b.refuse
}

// recorded gives the events so far, with the numbers of bytes left out.
func (b *bed) recorded() []ssh.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := slices.Clone(b.events)
	for i := range all {
		all[i].Sent, all[i].Received = 0, 0
	}
	return all
}

// command is a client's: ssh, scp, sftp take -F, others GIT_SSH_COMMAND or -e.
func (b *bed) command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("these tests need the real %s: run testdata/needs/install (%v)", name, err)
	}
	switch name {
	case "ssh", "scp", "sftp":
		args = append([]string{"-F", b.config}, args...)
	case "rsync":
		args = append([]string{"-e", "ssh -F " + b.config}, args...)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "HOME="+b.dir, "SSH_AUTH_SOCK=", "LC_ALL=C.UTF-8", "GIT_SSH_COMMAND=ssh -F "+b.config, "GIT_CONFIG_NOSYSTEM=1")
	return cmd
}

// client runs a client to its end.
func (b *bed) client(t testing.TB, stdin, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := b.command(t, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatal(err)
		}
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestSSH(t *testing.T) {
	b := newBed(t, bedOptions{server: sshtest.Options{Config: []string{"AcceptEnv LC_* EVIL"}}})
	big := strings.Repeat("0123456789abcdef", 1<<16)
	for _, c := range []struct {
		line, stdin, out, errs string
		code                   int
	}{
		{line: "echo hello", out: "hello\n"},
		{line: "echo out; echo err >&2; exit 7", out: "out\n", errs: "err\n", code: 7},
		{line: "cat", stdin: big, out: big},
		{line: "head -c 3", stdin: big, out: "012"},
		{line: "kill -TERM $$", code: 255},
		{line: "test -t 0 || echo no terminal", out: "no terminal\n"},
		{line: "no-such-command 2>/dev/null", code: 127},
		{line: "cat; echo $LC_ALL", stdin: "x", out: "xC.UTF-8\n"},
	} {
		out, errs, code := b.client(t, c.stdin, "ssh", "prod_vps_1", c.line)
		if out != c.out || errs != c.errs || code != c.code {
			t.Errorf("%s: %d bytes %.100q, %q, %d", c.line, len(out), out, errs, code)
		}
	}
	out, errs, code := b.client(t, "echo from a script\n", "ssh", "prod_vps_1") // a login shell without a terminal
	if !strings.HasSuffix(out, "from a script\n") || code != 0 {
		t.Errorf("%q %q %d", out, errs, code)
	}
	if n := b.server.Logins(); n != 1 {
		t.Errorf("%d logins for one server", n)
	}
}

// await looks until ok, or the test's own deadline.
func (b *bed) await(t *testing.T, ok func() bool) {
	t.Helper()
	for !ok() {
		select {
		case <-t.Context().Done():
			t.Fatal("it never came")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// transcript is what a command has printed, to be waited on.
type transcript struct {
	mu   sync.Mutex
	more *sync.Cond
	buf  bytes.Buffer
}

func newTranscript() *transcript {
	w := &transcript{}
	w.more = sync.NewCond(&w.mu)
	return w
}

func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.more.Broadcast()
	return w.buf.Write(p)
}

// await blocks until text has come; a test that waits for ever is stopped by go test, with this line in its stacks.
func (w *transcript) await(t *testing.T, text string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for !strings.Contains(w.buf.String(), text) {
		w.more.Wait()
	}
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}
