package ssh_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// someAgent listens as any agent of a user does, empty.
func someAgent(t *testing.T) string {
	t.Helper()
	l, path := socket(t)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(agent.NewKeyring(), c); _ = c.Close() }()
		}
	}()
	return path
}

func socket(t *testing.T) (net.Listener, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "zvh") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "agent"))
	if err != nil {
		t.Fatal(err)
	}
	return l, l.Addr().String()
}

// seat is a restricted agent, on a socket.
type seat struct {
	path string
	mu   sync.Mutex
	told []ssh.Event
}

func newSeat(t *testing.T, servers ...*sshtest.Server) *seat {
	t.Helper()
	st := &seat{}
	var all []ssh.Identity
	for i, s := range servers {
		all = append(all, ssh.Identity{Handle: "jump_" + strconv.Itoa(i), User: s.User, HostKey: s.HostKey, Open: func() (ssh.Secrets, error) {
			return ssh.Secrets{Key: secret.New(bytes.Clone(s.Key))}, nil
		}})
	}
	a, err := ssh.NewAgent(ssh.AgentOptions{
		Identities: all,
		Record: func(e ssh.Event) error {
			st.mu.Lock()
			defer st.mu.Unlock()
			st.told = append(st.told, e)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, path := socket(t)
	st.path = path
	served := make(chan error, 1)
	go func() { served <- a.Serve(l) }()
	t.Cleanup(func() {
		_ = a.Close()
		<-served
	})
	return st
}

func (s *seat) whats() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.told {
		all = append(all, string(e.Kind)+":"+e.What)
	}
	return all
}

// with runs a program with the agent.
func (s *seat) with(t *testing.T, stdin io.Reader, name string, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("these tests need the real %s: run testdata/needs/install (%v)", name, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stdin = append(os.Environ(), "SSH_AUTH_SOCK="+s.path, "HOME="+t.TempDir()), stdin
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// known gives the options by which OpenSSH logs in to s with what the agent has.
func known(t *testing.T, servers ...*sshtest.Server) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "known")
	var lines bytes.Buffer
	for _, s := range servers {
		_, _ = lines.WriteString("[" + s.Host + "]:" + port(s) + " " + s.HostKey + "\n")
	}
	if err := os.WriteFile(path, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"-F", "none", "-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=" + path, "-o", "BatchMode=yes", "-o", "IdentityFile=none"}
}

func port(s *sshtest.Server) string { return strconv.Itoa(s.Port) }

// The real ssh logs in with the agent; also through a jump to a server with another key, where each hop has a connection to the agent of its own.
func TestTheAgentLogsIn(t *testing.T) {
	server, behind := sshtest.Start(t, sshtest.Options{}), sshtest.Start(t, sshtest.Options{})
	st := newSeat(t, server, behind)
	args := append(known(t, server), "-p", port(server), server.User+"@"+server.Host, "echo in")
	if out, err := st.with(t, nil, "ssh", args...); err != nil || out != "in\n" {
		t.Fatalf("%q %v", out, err)
	}
	options := known(t, server, behind)
	args = append(options, "-o", "ProxyCommand=ssh "+strings.Join(options, " ")+" -p "+port(server)+" -W %h:%p "+server.User+"@"+server.Host, "-p", port(behind), behind.User+"@"+behind.Host, "echo behind")
	if out, err := st.with(t, nil, "ssh", args...); err != nil || out != "behind\n" {
		t.Fatalf("%q %v %v", out, err, st.whats())
	}
	if n := len(slices.DeleteFunc(st.whats(), func(s string) bool { return s != "sign:" })); n != 3 {
		t.Errorf("%v", st.whats())
	}
}

// The agent signs no file, no login to another host or as another user, nothing for who comes through a forwarded agent; it takes no key and none away.
func TestAttack48_TheAgentSignsOneLoginOnly(t *testing.T) {
	server, other := sshtest.Start(t, sshtest.Options{}), sshtest.Start(t, sshtest.Options{})
	st := newSeat(t, server)
	dir := t.TempDir()
	pub, err := xssh.ParsePrivateKey(server.Key)
	if err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(dir, "key.pub")
	if err := os.WriteFile(public, xssh.MarshalAuthorizedKey(pub.PublicKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(dir, "mine")
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	block, err := xssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mine, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	// The other server takes this key too: the agent alone stands between.
	if err := other.Authorize(pub.PublicKey()); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"a file":          {"ssh-keygen", "-Y", "sign", "-n", "file", "-f", public, "-"},
		"a certificate":   {"ssh-keygen", "-Us", public, "-I", "me", "-n", "root", public},
		"another host":    append(append([]string{"ssh"}, known(t, other)...), "-p", port(other), other.User+"@"+other.Host, "true"),
		"another user":    append(append([]string{"ssh"}, known(t, server)...), "-p", port(server), "nobody@"+server.Host, "true"),
		"a forwarded one": append(append([]string{"ssh", "-A"}, known(t, server)...), "-p", port(server), server.User+"@"+server.Host, "ssh "+strings.Join(known(t, server), " ")+" -p "+port(server)+" "+server.User+"@"+server.Host+" true"),
		"add":             {"ssh-add", mine},
		"remove":          {"ssh-add", "-d", public},
		"remove all":      {"ssh-add", "-D"},
		"lock":            {"ssh-add", "-x"},
	} {
		if out, err := st.with(t, strings.NewReader("text"), args[0], args[1:]...); err == nil {
			t.Errorf("%s went through: %s", name, out)
		}
	}
	if out, err := st.with(t, nil, "ssh-add", "-l"); err != nil || strings.Count(out, "\n") != 1 {
		t.Errorf("%q %v", out, err)
	}
	if other.Logins() != 0 {
		t.Error("it logged in elsewhere")
	}
	for _, what := range []string{"denied:agent-unbound", "denied:agent-destination", "denied:agent-forwarding"} {
		if got := st.whats(); !slices.Contains(got, what) {
			t.Errorf("%s is not recorded: %v", what, got)
		}
	}
}

// Raw messages: what is too long, cut, or bound by a lie.
func TestAttack48_TheAgentAgainstRawMessages(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	st := newSeat(t, server)
	host, _, _, _, err := xssh.ParseAuthorizedKey([]byte(server.HostKey))
	if err != nil {
		t.Fatal(err)
	}
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	me, err := xssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	session := bytes.Repeat([]byte{7}, 32)
	sig, err := me.Sign(nil, session)
	if err != nil {
		t.Fatal(err)
	}
	type bind struct {
		Host, Session, Sig []byte
		Forwarded          bool
	}
	for name, contents := range map[string][]byte{
		"the host's name, another's signature": xssh.Marshal(bind{host.Marshal(), session, xssh.Marshal(sig), false}),
		"another host":                         xssh.Marshal(bind{me.PublicKey().Marshal(), session, xssh.Marshal(sig), false}),
		"no signature":                         xssh.Marshal(bind{host.Marshal(), session, nil, false}),
		"nothing":                              nil,
	} {
		conn := connect(t, st)
		client := agent.NewClient(conn)
		if _, err := client.Extension("session-bind@openssh.com", contents); err == nil {
			t.Errorf("%s is taken", name)
		}
		keys, err := client.List()
		if err != nil || len(keys) != 1 {
			t.Fatal(keys, err)
		}
		login := xssh.Marshal(struct {
			Session       []byte
			Type          byte
			User, Service string
			Method        string
			Signed        bool
			Algorithm     string
			Key           []byte
		}{session, 50, server.User, "ssh-connection", "publickey", true, keys[0].Format, keys[0].Blob})
		if _, err := client.Sign(keys[0], login); err == nil {
			t.Errorf("%s: it signs", name)
		}
		_ = conn.Close()
	}
	for _, raw := range []string{"\xff\xff\xff\xff", "\x00\x00\x00\x00", "\x00\x10\x00\x00"} {
		conn := connect(t, st)
		_, _ = io.WriteString(conn, raw)
		if n, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("%q is answered with %d bytes", raw, n)
		}
		_ = conn.Close()
	}
}

func connect(t *testing.T, st *seat) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", st.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
