// Package sopstest gives tests the real programs: zavhoz-sops, built from this tree; sops and age, which testdata/needs/install built from their modules.
//
// Promise: no test of SOPS files speaks to a stand-in; a program that is missing fails the test and says how to get it. Programs run with an environment of
// their own (an identity file, no home of the person's), in folders that end with the test.
//
// Attack stopped: none; it keeps the others honest. What both sides agree on by mistake, only the other program can show (threat-model.md 66).
package sopstest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
)

// Versions are the programs' folder below the cache: testdata/needs/install has the same.
const Versions = "sops-3.13.3-age-1.3.2"

var built struct {
	once sync.Once
	path string
	err  error
	said []byte
}

// Helper builds zavhoz-sops once a process, as `make lint` compiles it so that its cache serves, and gives its path. Main removes it.
func Helper(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "zavhoz-sops-")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "zavhoz-sops")
		build := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", built.path, "github.com/zavhoz/zavhoz/cmd/zavhoz-sops")
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the product is built
		built.said, built.err = build.CombinedOutput()
	})
	if built.err != nil {
		t.Fatalf("build zavhoz-sops: %v\n%s", built.err, built.said)
	}
	return built.path
}

// Main runs a package's tests and removes what Helper built.
func Main(m *testing.M) {
	code := m.Run()
	if built.path != "" {
		_ = os.RemoveAll(filepath.Dir(built.path))
	}
	os.Exit(code)
}

var programs sync.Map

// Program gives the path of sops, age or age-keygen.
func Program(t testing.TB, name string) string {
	t.Helper()
	if p, ok := programs.Load(name); ok {
		return p.(string)
	}
	out, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(strings.TrimSpace(string(out))), "zavhoz-needs", Versions, name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not there: run `make needs`", name)
	}
	programs.Store(name, path)
	return path
}

// Person has an age identity, a folder, and the real programs.
type Person struct {
	t        testing.TB
	Dir      string
	Identity *age.X25519Identity
	Env      []string // beside PATH, HOME and the identity file
}

// NewPerson makes an identity, in a file of a folder of its own.
func NewPerson(t testing.TB) *Person {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	p := &Person{t: t, Dir: t.TempDir(), Identity: id}
	if err := os.WriteFile(filepath.Join(p.Dir, "key.txt"), []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// Recipient is the public half.
func (p *Person) Recipient() string { return p.Identity.Recipient().String() }

// Start prepares a program with the person's identity.
func (p *Person) Start(dir, stdin, name string, args ...string) *exec.Cmd {
	p.t.Helper()
	c := exec.Command(Program(p.t, name), args...)
	c.Dir, c.Stdin = dir, strings.NewReader(stdin)
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.Dir, "TMPDIR=" + p.Dir, "SOPS_AGE_KEY_FILE=" + filepath.Join(p.Dir, "key.txt"), "SOPS_DISABLE_VERSION_CHECK=1"}, p.Env...)
	return c
}

// Try runs a program and gives what it wrote, and whether it failed.
func (p *Person) Try(dir, stdin, name string, args ...string) (string, error) {
	p.t.Helper()
	c := p.Start(dir, stdin, name, args...)
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	err := c.Start()
	if err == nil {
		stop := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
		err = c.Wait()
		stop.Stop()
	}
	if err != nil {
		return out.String() + said.String(), err
	}
	return out.String(), nil
}

// Run is Try for what has to go well.
func (p *Person) Run(dir, stdin, name string, args ...string) string {
	p.t.Helper()
	out, err := p.Try(dir, stdin, name, args...)
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// Sops runs sops in dir.
func (p *Person) Sops(dir string, args ...string) string {
	p.t.Helper()
	return p.Run(dir, "", "sops", args...)
}
