package deliver_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/deliver"
	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

const canary = "canary-9d1f77c2a0"

func item(name, handle, value string, file bool) deliver.Item {
	return deliver.Item{Name: name, Handle: handle, File: file, Value: secret.FromString(value)}
}

// The environment of a real program is what Pack says, no name more.
func TestAttack23_PackedEnvironmentIsExact(t *testing.T) {
	t.Setenv("LD_PRELOAD", "/attacker.so")
	home := t.TempDir()
	p, err := deliver.Pack(deliver.Options{Home: home, Plain: map[string]string{"STAGE": "prod", "TERM": "xterm"}}, []deliver.Item{
		item("BOT_TOKEN", "bot", canary, false), item("STAGE", "other", "delivered wins", false),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var out bytes.Buffer
	proc, err := process.Start(process.Spec{Path: "/usr/bin/env", Argv: []string{"env"}, Env: p.Env, Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatal(err)
	}
	proc.Wait()
	want := []string{"BOT_TOKEN=" + canary, "HOME=" + home, "LANG=C.UTF-8", "PATH=" + deliver.SafePath, "STAGE=delivered wins", "TERM=xterm", "TMPDIR=" + home, "TZ=UTC"}
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Files reach a real program, several of them, and nothing of them stays (threat-model.md 6).
func TestAttack06_FilesGoWithTheRun(t *testing.T) {
	home := t.TempDir()
	p, err := deliver.Pack(deliver.Options{Home: home}, []deliver.Item{
		item("A", "one", canary+"\x00binary", true), item("B", "two", "second", true),
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	proc, err := process.Start(process.Spec{Path: "/bin/sh", Argv: []string{"sh", "-c", `cat "$A_FILE" "$B_FILE" "$A_FILE"; (echo x >> "$A_FILE") 2>/dev/null && echo changed`}, Env: p.Env, Files: p.Files, Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatal(err)
	}
	proc.Wait()
	if want := canary + "\x00binarysecond" + canary + "\x00binary"; runtime.GOOS == "linux" && out.String() != want {
		t.Errorf("got %q", out.String())
	}
	p.Close()
	left, err := filepath.Glob(filepath.Join(home, "*"))
	if hidden, _ := filepath.Glob(filepath.Join(home, ".*")); err != nil || len(left)+len(hidden) > 0 {
		t.Errorf("left behind: %v %v", left, hidden)
	}
}

func TestPackRefuses(t *testing.T) {
	long := strings.Repeat("x", deliver.MaxValue+1)
	var many []deliver.Item
	for i := range 10 {
		many = append(many, item("N"+string(rune('A'+i)), "h", long[:deliver.MaxValue], false))
	}
	for name, c := range map[string]struct {
		plain map[string]string
		items []deliver.Item
		code  fault.Code
	}{
		"two owners":    {items: []deliver.Item{item("T", "a", "1", false), item("T", "b", "2", false)}, code: fault.InvalidArgument},
		"file and env":  {items: []deliver.Item{item("T", "a", "1", true), item("T_FILE", "b", "2", false)}, code: fault.InvalidArgument},
		"zero byte":     {items: []deliver.Item{item("T", "a", canary+"\x00", false)}, code: fault.DeliveryRefused},
		"too long":      {items: []deliver.Item{item("T", "a", long, false)}, code: fault.DeliveryRefused},
		"too much":      {items: many, code: fault.TooLarge},
		"no name":       {items: []deliver.Item{item("", "a", canary, false)}, code: fault.DeliveryRefused},
		"name with =":   {items: []deliver.Item{item("A=B", "a", canary, false)}, code: fault.DeliveryRefused},
		"plain name":    {plain: map[string]string{"1A": "x"}, code: fault.InvalidArgument},
		"plain zero":    {plain: map[string]string{"A": "x\x00y"}, code: fault.InvalidArgument},
		"plain newline": {plain: map[string]string{"A\nB": "x"}, code: fault.InvalidArgument},
	} {
		home := t.TempDir()
		_, err := deliver.Pack(deliver.Options{Home: home, Plain: c.plain}, c.items)
		if fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error shows a value", name)
		}
		if rest, _ := os.ReadDir(home); len(rest) > 0 {
			t.Errorf("%s: left %v", name, rest)
		}
	}
}

func samplePlan() *deliver.Plan {
	return &deliver.Plan{
		RunID:  "run_x",
		Items:  []deliver.Item{item("A", "one", canary, false), item("B", "two", "zero\x00byte", true), item("", "", "", false)},
		Redact: []deliver.Labelled{{Label: "one.token", Value: secret.FromString(canary)}},
	}
}

func TestPlanTravels(t *testing.T) {
	b := samplePlan().Encode()
	p, err := deliver.DecodePlan(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.Encode(), b) || p.RunID != "run_x" || !p.Items[1].File || string(p.Redact[0].Value.Reveal()) != canary {
		t.Errorf("%+v", p)
	}
	p.Wipe()
	if bytes.Contains(b, []byte(canary)) {
		t.Error("wiping the plan left a value in the bytes it came from")
	}
}

func FuzzDecodePlan(f *testing.F) {
	b := samplePlan().Encode()
	f.Add(b)
	for i := range b {
		f.Add(b[:i])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := deliver.DecodePlan(b)
		if err != nil {
			return
		}
		again, err := deliver.DecodePlan(p.Encode())
		if err != nil || !bytes.Equal(again.Encode(), p.Encode()) {
			t.Errorf("%q does not survive", b)
		}
	})
}

func BenchmarkPlan1000(b *testing.B) {
	p := &deliver.Plan{RunID: "run_x"}
	for i := range 1000 {
		it := item("NAME_"+strings.Repeat("A", i%26)+string(rune('A'+i%26)), "handle", canary, false)
		p.Items = append(p.Items, it)
		p.Redact = append(p.Redact, deliver.Labelled{Label: "handle.token", Value: it.Value})
	}
	for b.Loop() {
		if _, err := deliver.DecodePlan(p.Encode()); err != nil {
			b.Fatal(err)
		}
	}
}
