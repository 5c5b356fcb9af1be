//go:build unix

package sopshome_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/run/rotate"
	"github.com/zavhoz/zavhoz/sync/sopshome"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
	"github.com/zavhoz/zavhoz/vault/vaulttest"
)

// Names by which the process that is killed learns what it is to do.
const (
	envDir    = "ZAVHOZ_TEST_SOPSHOME_DIR" // of the file and of the identity
	envVault  = "ZAVHOZ_TEST_SOPSHOME_VAULT"
	envHelper = "ZAVHOZ_TEST_SOPSHOME_HELPER"
	envAct    = "ZAVHOZ_TEST_SOPSHOME_ACT"
	envPoint  = "ZAVHOZ_TEST_SOPSHOME_POINT" // where it is killed; "": where its parent likes
	envFrom   = "ZAVHOZ_TEST_SOPSHOME_FROM"  // of "loop": the number to go on from
)

// points of a write, in their order. From taken on the file has the new content.
var points = []string{"intent", "temp", "write", "mode", "sync", "rename", "take", "folder", "outcome", "vault"}

const taken = 7

func init() {
	if dir := os.Getenv(envDir); dir != "" {
		os.Exit(die(dir))
	}
}

// dying is a house without a test.
type dying struct{ testing.TB }

func (dying) Helper() {}

func (dying) Fatal(args ...any) {
	fmt.Println(append([]any{"failed:"}, args...)...)
	os.Exit(3)
}

func (d dying) Fatalf(format string, args ...any) { d.Fatal(fmt.Sprintf(format, args...)) }

// die is the process that is killed: a daemon's home, and one act of a person.
func die(dir string) int {
	t := dying{}
	h := enter(t, vaulttest.At(t, os.Getenv(envVault), vaulttest.Options{}), dir, os.Getenv(envHelper), func(point string) error {
		if point == os.Getenv(envPoint) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	})
	var err error
	switch os.Getenv(envAct) {
	case "edit":
		_, err = h.EditResource(ctx, operator, "openai", vault.Edit{Secrets: one("key", keyB)})
	case "rollback":
		_, err = h.RollbackResource(ctx, operator, "openai", 1, "")
	case "add":
		_, err = h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "fresh", Secrets: one("value", "a-fresh-value"), Source: "sops:secrets.yaml"})
	case "rename":
		_, err = h.RenameResource(ctx, operator, "smtp", "mail")
	case "remove":
		_, err = h.RemoveResource(ctx, operator, "github_main")
	case "rotate":
		_, err = rotate.New(rotate.Options{Vault: h, Opener: h.o.Opener}).Start(ctx, operator, "smtp", rotate.Request{Secrets: one("value", "a-new-smtp-password")})
	case "loop":
		var i int
		_, err = fmt.Sscan(os.Getenv(envFrom), &i)
		for ; err == nil; i++ {
			if _, err = h.EditResource(ctx, operator, "smtp", vault.Edit{Secrets: one("value", loopValue(i))}); err == nil {
				fmt.Println(i) // acknowledged
			}
		}
	}
	if err != nil {
		fmt.Println("failed:", err)
		return 4
	}
	return 0
}

func loopValue(i int) string { return fmt.Sprintf("some-smtp-password-%06d", i) }

// entered is a home over a vault that is opened as a daemon does at its start.
type entered struct {
	*sopshome.Home
	o sopshome.Options
}

func enter(t testing.TB, v *vaulttest.House, dir, helper string, at func(string) error) entered {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "key.txt"))
	must(t, err)
	ident, err := age.ParseX25519Identity(strings.TrimSpace(string(text)))
	must(t, err)
	v.Enter(ident)
	o := sopshome.Options{
		Vault: v.Vault, Codec: sops.New(sops.Options{Helper: helper}), Opener: v.Opener, At: at, Files: []sops.FileSpec{{Path: filepath.Join(dir, "secrets.yaml")}},
		Identities: func(context.Context) ([]age.Identity, error) { return []age.Identity{ident}, nil },
	}
	h := entered{sopshome.New(o), o}
	h.Settle(ctx)
	return h
}

// mortal is a vault and a file over which processes are killed.
type mortal struct {
	*house
	vault *vaulttest.House
}

func newMortal(t *testing.T) *mortal {
	t.Helper()
	p := sopstest.NewPerson(t)
	m := &mortal{house: &house{t: t, p: p}, vault: vaulttest.New(t, vaulttest.Options{Verify: true}, p.Identity.Recipient())}
	m.vault.Leave()
	file(t, p, "secrets.yaml", text())
	m.enter()
	limits := policy.Policy{MaxUses: 7}
	_, err := m.EditResource(ctx, operator, "smtp", vault.Edit{Policy: &limits})
	must(t, err)
	return m
}

// enter is the next daemon.
func (m *mortal) enter() {
	m.t.Helper()
	h := enter(m.t, m.vault, m.p.Dir, sopstest.Helper(m.t), nil)
	m.Home, m.o, m.v, m.opener = h.Home, h.o, m.vault.Vault, m.vault.Opener
}

func (m *mortal) leave() {
	m.Forget()
	m.vault.Leave()
}

func (m *mortal) child(act, point string, from int) *exec.Cmd {
	m.t.Helper()
	m.leave()
	c := exec.Command(os.Args[0], "-test.run=^$")
	c.Env = append(os.Environ(), envDir+"="+m.p.Dir, envVault+"="+m.vault.Path, envHelper+"="+sopstest.Helper(m.t), envAct+"="+act, envPoint+"="+point, fmt.Sprintf("%s=%d", envFrom, from))
	return c
}

func killed(err error) bool {
	var end *exec.ExitError
	return errors.As(err, &end) && end.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

// converged sees that file and vault say the same of every resource, and that every intent has its outcome.
func (m *mortal) converged(what string) {
	m.t.Helper()
	if code := m.err("secrets.yaml"); code != "" {
		m.t.Fatalf("%s: the file is not in force: %s", what, code)
	}
	plain := m.p.Sops(m.p.Dir, "decrypt", "secrets.yaml")
	all, _, err := m.v.ListResources(ctx, vault.Filter{})
	must(m.t, err)
	for _, r := range all {
		for field := range r.Sealed {
			if in := strings.Contains(plain, m.value(r.Handle, field)); in != (r.Status == vault.Active) {
				m.t.Errorf("%s: %s.%s is %s; that its value is in the file: %v", what, r.Handle, field, r.Status, in)
			}
		}
		if r.MovesTo != "" {
			m.t.Errorf("%s: %s is still being moved", what, r.Handle)
		}
	}
	phases := 0
	for _, r := range m.recorded(audit.FileWrite) {
		if strings.HasSuffix(r, "intent") {
			phases++
		} else if phases--; phases != 0 {
			m.t.Errorf("%s: an outcome without an intent", what)
		}
	}
	if phases != 0 {
		m.t.Errorf("%s: %d intents have no outcome", what, phases)
	}
	must(m.t, m.v.Verify(ctx))
}

// A daemon is killed at each point of each act: before the file's new content took its place all is as it was, from then on the next start has the new in both. What
// came of it is on record.
func TestKilledAtEachPoint(t *testing.T) {
	for _, c := range []struct {
		act    string
		points []string
		done   func(m *mortal) bool
		again  func(m *mortal) error // brings it back to where it was
	}{
		{"edit", points, func(m *mortal) bool { return m.value("openai", "key") == keyB }, func(m *mortal) error {
			_, err := m.EditResource(ctx, operator, "openai", vault.Edit{Secrets: one("key", keyA)})
			return err
		}},
		{"add", []string{"take", "folder", "vault"}, func(m *mortal) bool { _, err := m.v.Resource(ctx, "fresh"); return err == nil }, func(m *mortal) error {
			_, err := m.RemoveResource(ctx, operator, "fresh")
			return err
		}},
		{"rename", []string{"intent", "take", "folder", "outcome"}, func(m *mortal) bool {
			r, err := m.v.Resource(ctx, "mail")
			_, old := m.v.Resource(ctx, "smtp")
			return err == nil && old != nil && r.Policy.MaxUses == 7
		}, func(m *mortal) error { _, err := m.RenameResource(ctx, operator, "mail", "smtp"); return err }},
		{"remove", []string{"take", "folder", "vault"}, func(m *mortal) bool {
			r, err := m.v.Resource(ctx, "github_main")
			return err != nil || r.Status == vault.Gone
		}, nil},
	} {
		t.Run(c.act, func(t *testing.T) {
			m := newMortal(t)
			for _, point := range c.points {
				out, err := m.child(c.act, point, 0).CombinedOutput()
				if !killed(err) {
					t.Fatalf("%s: the child ended otherwise: %v %s", point, err, out)
				}
				m.enter()
				m.converged(point)
				want := indexOf(points, point) >= taken
				if c.done(m) != want {
					t.Fatalf("%s: done is %v: %+v", point, !want, m.States())
				}
				last := m.recorded(audit.FileWrite)
				if said := last[len(last)-1]; strings.Contains(said, "failed canceled") == want {
					t.Errorf("%s: on record is %q", point, said)
				}
				if want && c.again != nil {
					must(t, c.again(m))
				}
			}
			m.leave()
		})
	}
}

func indexOf(list []string, s string) int {
	for i, x := range list {
		if x == s {
			return i
		}
	}
	return -1
}

// A rotation that is killed around its switch is brought on by the next daemon: the new value is in both in the end, and was lost at no moment.
func TestARotationIsKilledAroundItsSwitch(t *testing.T) {
	for _, point := range []string{"take", "folder", "outcome"} {
		m := newMortal(t)
		out, err := m.child("rotate", point, 0).CombinedOutput()
		if !killed(err) {
			t.Fatalf("%s: the child ended otherwise: %v %s", point, err, out)
		}
		m.enter()
		if _, x, err := m.v.Rotation(ctx, "smtp"); err != nil || x == nil || x.Step != vault.RotationProven || m.value("smtp", "value") != "some-smtp-password" {
			t.Fatalf("%s: %+v %v", point, x, err)
		}
		_, err = m.rotator().Resume(ctx, operator, "smtp")
		must(t, err)
		m.converged(point)
		if m.has("secrets.yaml", smtpPath) != "a-new-smtp-password" || m.value("smtp", "value") != "a-new-smtp-password" {
			t.Errorf("%s: the new value is not in both", point)
		}
		m.leave()
	}
}

// A daemon that writes and writes is killed at random moments: what it acknowledged last is there, or the next.
func TestKilledAtRandom(t *testing.T) {
	m := newMortal(t)
	next := 1
	for round := range 5 {
		c := m.child("loop", "", next)
		out, err := c.StdoutPipe()
		must(t, err)
		must(t, c.Start())
		lines := bufio.NewScanner(out)
		last := next - 1
		var kill *time.Timer
		for lines.Scan() {
			if _, err := fmt.Sscan(lines.Text(), &last); err != nil {
				t.Errorf("round %d: %s", round, lines.Text())
				break
			}
			if kill == nil { // from its first acknowledgement on, within the time of a few writes
				kill = time.AfterFunc(time.Duration(rand.Int64N(int64(600*time.Millisecond))), func() { _ = c.Process.Kill() })
			}
		}
		if err := c.Wait(); !killed(err) {
			t.Fatalf("round %d: the child ended otherwise: %v", round, err)
		}
		m.enter()
		m.converged(fmt.Sprint("round ", round))
		switch m.has("secrets.yaml", smtpPath) {
		case loopValue(last):
			next = last + 1
		case loopValue(last + 1):
			next = last + 2
		default:
			t.Fatalf("round %d: %d was acknowledged, the file has %s", round, last, m.has("secrets.yaml", smtpPath))
		}
	}
	m.leave()
}

// A full disk and lost permissions at each point of the file's write: the act fails, file and vault are as they were, and that is on record. Where the disk only does not
// confirm the new name, both have the new.
func TestAWriteFailsAtEachPoint(t *testing.T) {
	p := sopstest.NewPerson(t)
	file(t, p, "secrets.yaml", text())
	h := newHouse(t, p, "secrets.yaml")
	var at string
	var cause error
	h.o.At = func(point string) error {
		if point == at {
			return cause
		}
		return nil
	}
	h.restart()
	for _, cause = range []error{syscall.ENOSPC, fs.ErrPermission} {
		for i, point := range points[1 : taken+1] {
			at = point
			_, err := h.EditResource(ctx, operator, "openai", vault.Edit{Secrets: one("key", keyB)})
			want := keyA
			if i+1 >= taken {
				want = keyB
			}
			records := h.recorded(audit.FileWrite)
			if err == nil || !errors.Is(err, cause) || h.has("secrets.yaml", `["api_keys"]["openai"]["key"]`) != want || h.value("openai", "key") != want || !strings.Contains(records[len(records)-1], "failed") {
				t.Errorf("%s, %v: %v; file and vault: %s", point, cause, err, h.value("openai", "key"))
			}
			if names, err := os.ReadDir(p.Dir); err != nil || strings.Contains(fmt.Sprint(names), "zavhoz-sops") {
				t.Errorf("%s: left beside it: %v", point, names)
			}
		}
		at = ""
		_, err := h.EditResource(ctx, operator, "openai", vault.Edit{Secrets: one("key", keyA)})
		must(t, err)
	}
	must(t, h.v.Verify(ctx))
}
