// Package sshtest gives tests a real OpenSSH server on loopback: fresh keys, one user (whoever runs the test), its own port.
//
// It fails a test where sshd is not installed; it never skips: a test that CI needs must not pass by not running. A simulated server
// would agree with our client about everything, its mistakes included: that keys and addresses stay hidden (threat-model.md 47 to 49) is worth
// something against the real one only.
package sshtest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Options of Start. The zero value is a plain server.
type Options struct {
	Host   string   // where to listen; "": 127.0.0.1
	Port   int      // to come back on the port of a server that was stopped; 0: a free one
	Config []string // more lines of sshd_config
}

// Server is a running sshd.
type Server struct {
	Host       string
	Port       int
	User       string
	Key        []byte // the user's private key, PEM, not encrypted
	HostKey    string // as a known_hosts file has it: "ssh-ed25519 AAAA…"
	Passphrase string // of EncryptedKey

	dir  string
	cmd  *exec.Cmd
	mu   sync.Mutex
	more *sync.Cond // the log has grown, or ended
	log  bytes.Buffer
	over bool
}

// Start starts a server that ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	sshd, err := find()
	if err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Host: cmp.Or(o.Host, "127.0.0.1"), Port: o.Port, User: me.Username, Passphrase: "open sesame 417"}
	s.more = sync.NewCond(&s.mu)
	if s.Port == 0 {
		s.Port = freePort(t, s.Host)
	}
	dir := t.TempDir()
	s.dir = dir
	s.makeKeys(t, dir)
	config := filepath.Join(dir, "sshd_config")
	write(t, config, []byte(strings.Join(append(s.config(dir), o.Config...), "\n")+"\n"))
	if os.Geteuid() == 0 { // the folder of its unprivileged half; packages make it at boot
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.run(t, sshd, config)
	t.Cleanup(s.Stop)
	return s
}

func find() (string, error) {
	for _, p := range []string{"/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"} {
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	if p, err := exec.LookPath("sshd"); err == nil {
		return filepath.Abs(p) // sshd insists on its absolute path
	}
	return "", fmt.Errorf("these tests need a real OpenSSH server: install it (apt-get install openssh-server); the service need not run")
}

func freePort(t testing.TB, host string) int {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (s *Server) config(dir string) []string {
	return []string{
		"ListenAddress " + s.Host + ":" + strconv.Itoa(s.Port),
		"HostKey " + filepath.Join(dir, "host"),
		"AuthorizedKeysFile " + filepath.Join(dir, "authorized"),
		"PidFile none",
		"StrictModes no",
		"UsePAM no",
		"PasswordAuthentication no",
		"KbdInteractiveAuthentication no",
		"PermitRootLogin yes",
		"PrintMotd no",
		"LogLevel VERBOSE",
		"MaxStartups 200",
		"Subsystem sftp internal-sftp",
		"SetEnv SHLVL=2", // keeps bash from reading the .bashrc of whoever runs the test, before each command
	}
}

func (s *Server) makeKeys(t testing.TB, dir string) {
	hostPub, host := newKey(t, "")
	s.HostKey = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(hostPub)))
	write(t, filepath.Join(dir, "host"), host)
	pub, key := newKey(t, "")
	s.Key = key
	write(t, filepath.Join(dir, "authorized"), ssh.MarshalAuthorizedKey(pub))
}

// EncryptedKey makes another key that the server takes, under Passphrase. That is slow on purpose, so only who wants one pays for it.
func (s *Server) EncryptedKey(t testing.TB) []byte {
	t.Helper()
	pub, key := newKey(t, s.Passphrase)
	if err := s.Authorize(pub); err != nil {
		t.Fatal(err)
	}
	return key
}

func newKey(t testing.TB, passphrase string) (ssh.PublicKey, []byte) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(priv, "test")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(priv, "test", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return p, pem.EncodeToMemory(block)
}

func write(t testing.TB, path string, b []byte) {
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// run starts sshd and waits until it says that it listens.
func (s *Server) run(t testing.TB, sshd, config string) {
	s.cmd = exec.Command(sshd, "-D", "-e", "-f", config)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.follow(stderr)
	s.Await(t, "Server listening on")
}

func (s *Server) follow(r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		s.mu.Lock()
		s.log.WriteString(lines.Text() + "\n")
		s.more.Broadcast()
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.over = true
	s.more.Broadcast()
	s.mu.Unlock()
}

// Authorize lets one more key in.
func (s *Server) Authorize(key ssh.PublicKey) error {
	f, err := os.OpenFile(filepath.Join(s.dir, "authorized"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(ssh.MarshalAuthorizedKey(key))
	return errors.Join(err, f.Close())
}

// AuthorizedKeys is the path of the file of the keys that are let in.
func (s *Server) AuthorizedKeys() string { return filepath.Join(s.dir, "authorized") }

// Await blocks until the server's log holds text.
func (s *Server) Await(t testing.TB, text string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !strings.Contains(s.log.String(), text) {
		if s.over {
			t.Fatalf("sshd ended without %q:\n%s", text, s.log.String())
		}
		s.more.Wait()
	}
}

// Log is what the server wrote so far.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Logins counts the accepted logins so far.
func (s *Server) Logins() int { return strings.Count(s.Log(), "Accepted publickey for") }

// Stop ends the server; connections that exist live on, as with a real one.
func (s *Server) Stop() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// Drop kills the server's processes for existing connections, and what they run, so that clients find them dead.
func (s *Server) Drop(t testing.TB) {
	t.Helper()
	out, err := exec.Command("ps", "-e", "-o", "pid=,ppid=").Output()
	if err != nil {
		t.Fatal(err)
	}
	children := map[int][]int{}
	for line := range strings.Lines(string(out)) {
		var pid, parent int
		if _, err := fmt.Sscan(line, &pid, &parent); err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	below := children[s.cmd.Process.Pid]
	if len(below) == 0 {
		t.Fatal("no connection to drop")
	}
	for len(below) > 0 { // from the top: a server that outlives its command would still report how it ended
		p, err := os.FindProcess(below[0])
		if err == nil {
			_ = p.Kill()
		}
		below = append(below[1:], children[below[0]]...)
	}
}
