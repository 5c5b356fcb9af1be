package canary_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/cmd/internal/canary"
	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
	"github.com/zavhoz/zavhoz/sync/time4vps/time4vpstest"
)

// house is a whole installation with planted secrets: every byte that anything writes comes together in record.
type house struct {
	t                  *testing.T
	bin, home, tmp     string
	hunter             *canary.Hunter
	sshd               *sshtest.Server
	listen, token      string
	daemon             *exec.Cmd
	values             map[string]string // handle.field → planted value
	mu                 sync.Mutex
	records            map[string]*bytes.Buffer // where it came from → bytes
	script, outsideDir string
}

func (h *house) record(where string, b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.records[where] == nil {
		h.records[where] = &bytes.Buffer{}
	}
	h.records[where].Write(b)
}

// tap is a writer into a record.
type tap struct {
	h     *house
	where string
}

func (w tap) Write(p []byte) (int, error) {
	w.h.record(w.where, p)
	return len(p), nil
}

func newHouse(t *testing.T) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "zc") // short: socket paths are
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &house{t: t, bin: filepath.Join(dir, "zavhoz"), home: filepath.Join(dir, "home"), tmp: filepath.Join(dir, "tmp"), outsideDir: t.TempDir(),
		hunter: canary.New(), values: map[string]string{}, records: map[string]*bytes.Buffer{}}
	if err := os.Mkdir(h.tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", h.bin, "github.com/zavhoz/zavhoz/cmd/zavhoz")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	h.sshd = sshtest.Start(t, sshtest.Options{})
	h.cli("", "init")
	h.plantAll()
	h.token = strings.TrimSpace(h.quiet("", "agent", "add", "hunter", "--kinds", "*")) // the person's screen: its one token is theirs to see
	h.serve()
	return h
}

// env is what every program of the house gets: its own home and its own temporary folder.
func (h *house) env() []string {
	return []string{"ZAVHOZ_HOME=" + h.home, "TMPDIR=" + h.tmp, "HOME=" + h.tmp, "PATH=" + os.Getenv("PATH")}
}

// quiet runs a command whose output is for the person alone.
func (h *house) quiet(stdin string, args ...string) string {
	h.t.Helper()
	cmd := exec.Command(h.bin, args...)
	cmd.Env, cmd.Stdin = h.env(), strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout = &out
	cmd.Stderr = tap{h, "cli stderr"}
	if err := cmd.Run(); err != nil {
		h.t.Fatalf("zavhoz %s: %v %s", args[0], err, h.records["cli stderr"])
	}
	return out.String()
}

// cli runs a command and records all that it prints; failing is for some of them.
func (h *house) cli(stdin string, args ...string) (string, error) {
	h.t.Helper()
	cmd := exec.Command(h.bin, args...)
	cmd.Env, cmd.Stdin = h.env(), strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	h.record("cli "+args[0], out)
	return string(out), err
}

func (h *house) mustCLI(stdin string, args ...string) {
	h.t.Helper()
	if out, err := h.cli(stdin, args...); err != nil {
		h.t.Fatalf("zavhoz %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// random is the random part of a planted secret: 24 letters and digits, hunted from now on.
func (h *house) random(name string) string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	s := hex.EncodeToString(b[:])
	h.hunter.Plant(name, s)
	return s
}

// file puts what the person has on their side of the wall: outside of what is searched.
func (h *house) file(name, text string) string {
	p := filepath.Join(h.outsideDir, name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return "@" + p
}

// plantAll adds a resource of every kind with a canary in every secret field.
func (h *house) plantAll() {
	t := h.t
	h.values["bot.token"] = "123456789:AAcanary0" + h.random("bot.token")
	h.values["key.key"] = "sk-proj-" + h.random("key.key")
	h.values["zone.token"] = "cf" + h.random("zone.token") + "0123456789abcd"
	h.values["db.url"] = "postgres://app:pw" + h.random("db.url") + "@db.internal.example:5432/shop"
	h.values["thing.value"] = "v-" + h.random("thing.value") + "\nsecond line " + h.random("thing.value line 2")
	h.values["vps.password"] = "hunter-" + h.random("vps.password")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	h.values["app.private_key"] = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}))
	h.values["vps.ssh_key"] = string(h.sshd.Key)
	for _, name := range []string{"app.private_key", "vps.ssh_key"} {
		lines := strings.Split(strings.TrimSpace(h.values[name]), "\n")
		for i, line := range lines[1 : len(lines)-1] {
			if name == "vps.ssh_key" && i < 3 { // the head of an OpenSSH key is the same in all, and its public half is in the host's authorized keys
				continue
			}
			if len(line) >= canary.Window {
				h.hunter.Plant(fmt.Sprintf("%s line %d", name, i), line)
			}
		}
	}
	h.script = filepath.Join(h.outsideDir, "dump.sh")
	if err := os.WriteFile(h.script, []byte(dumpScript), 0o755); err != nil {
		t.Fatal(err)
	}
	v := h.values
	h.mustCLI(v["bot.token"], "resource", "add", "telegram_bot", "bot", "--set", "username=@canary_bot", "--secret", "token=-")
	h.mustCLI("", "resource", "add", "api_key", "key", "--set", "service=openai", "--secret", "key="+h.file("key", v["key.key"]))
	h.mustCLI("", "resource", "add", "domain", "zone", "--set", "zone=example.org", "--secret", "token="+h.file("zone", v["zone.token"]))
	h.mustCLI("", "resource", "add", "database", "db", "--secret", "url="+h.file("db", v["db.url"]))
	h.mustCLI("", "resource", "add", "generic", "thing", "--secret", "value="+h.file("thing", v["thing.value"]))
	h.mustCLI("", "resource", "add", "github_app", "app", "--set", "app_id=12345", "--secret", "private_key="+h.file("app", v["app.private_key"]))
	h.mustCLI("", "resource", "add", "server", "vps", "--set", "user="+h.sshd.User, "--set", fmt.Sprintf("port=%d", h.sshd.Port), "--set", "host_key="+h.sshd.HostKey,
		"--secret", "host="+h.file("host", h.sshd.Host), "--secret", "ssh_key="+h.file("ssh", v["vps.ssh_key"]), "--secret", "password="+h.file("pw", v["vps.password"]))
	h.values["paper.value"] = "p-" + h.random("paper.value")
	h.mustCLI("", "resource", "add", "generic", "paper", "--secret", "value="+h.file("paper", h.values["paper.value"]))
	h.mustCLI("", "resource", "policy", "paper", "--agent", "local", "--agent", "hunter", "--delivery", "file", "--pin", "dump", "--", "/bin/sh", h.script, "{how:word}")
	h.provider()
	for _, handle := range []string{"bot", "key", "zone", "db", "thing", "app"} {
		h.mustCLI("", "resource", "policy", handle, "--agent", "local", "--agent", "hunter", "--delivery", "env", "--pin", "dump", "--pin-stdin", "--", "/bin/sh", h.script, "{how:word}")
	}
}

// provider starts a simulator of the provider, whose login and whose servers' passwords are hunted too, and names it in the configuration.
func (h *house) provider() {
	h.t.Helper()
	h.values["login.key"] = "t4v-" + h.random("login.key")
	sim := time4vpstest.New()
	sim.SetLogin("owner@example.org", h.values["login.key"])
	sim.Populate(3)
	for i, p := range sim.Passwords() {
		h.hunter.Plant(fmt.Sprintf("provider password %d", i), p)
	}
	running, err := sim.Start()
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(running.Close)
	h.mustCLI("", "resource", "add", "api_key", "login", "--set", "service=time4vps", "--set", "username=owner@example.org", "--secret", "key="+h.file("login", h.values["login.key"]))
	h.mustCLI("", "resource", "policy", "login", "--host", strings.TrimSuffix(strings.TrimPrefix(running.URL, "http://"), "/api"))
	conf := filepath.Join(h.home, "config.yaml")
	b, err := os.ReadFile(conf)
	if err != nil {
		h.t.Fatal(err)
	}
	text := strings.NewReplacer(`resource: ""`, "resource: login", "https://billing.time4vps.com/api", running.URL, "auto_manage: false", "auto_manage: true").Replace(string(b))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// serve starts the daemon with its HTTP door and waits until it answers.
func (h *house) serve() {
	h.t.Helper()
	h.mustCLI("", "stop")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	h.listen = l.Addr().String()
	l.Close()
	h.daemon = exec.Command(h.bin, "serve", "--listen", h.listen)
	h.daemon.Env, h.daemon.Stdout, h.daemon.Stderr = h.env(), tap{h, "daemon stdout"}, tap{h, "daemon stderr"}
	if err := h.daemon.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(h.end)
	h.await()
	h.mustCLI("", "server", "sync")
}

// end stops the daemon, and waits until its last word is on record.
func (h *house) end() {
	_ = h.daemon.Process.Signal(syscall.SIGTERM)
	dead := time.AfterFunc(time.Minute, func() { _ = h.daemon.Process.Kill() })
	_ = h.daemon.Wait()
	dead.Stop()
}

// dumpScript prints what it holds in the ways that attacks try first. It is pinned, so it does hold the values.
const dumpScript = `#!/bin/sh
all() { env | grep -v '^PATH=' ; }
case "$1" in
plain) all ;;
base64) all | base64 ;;
base64one) all | base64 -w0 ;;
hex) all | od -An -v -tx1 ;;
hexrun) all | od -An -v -tx1 | tr -d ' \n' ;;
rev) all | while IFS= read -r l; do printf '%s\n' "$l" | rev ; done ;;
stderr) all >&2 ;;
slow) all | while IFS= read -r l; do printf '%.20s' "$l"; sleep 0.05; printf '%s\n' "$(printf '%s' "$l" | cut -c21-)"; done ;;
fail) all; exit 7 ;;
cut) n=$(printenv | head -c 40); i=0; while [ $i -lt 3000 ]; do echo "noise $i $n"; i=$((i+1)); done; all ;;
hang) all; sleep 60 ;;
stdin) cat; all ;;
file) cat "$SECRET_VALUE_FILE" ;;
esac
`
