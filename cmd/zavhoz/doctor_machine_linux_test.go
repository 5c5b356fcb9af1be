package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/web/api"
)

// madeOf gives a machine of these files.
func madeOf(t *testing.T, files map[string]string) machine {
	t.Helper()
	m := machine{root: t.TempDir()}
	for name, text := range files {
		full := filepath.Join(m.root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestAttack25_DoctorTellsWhereMemoryComesToLie(t *testing.T) {
	const head = "Filename\tType\tSize\tUsed\tPriority\n"
	for name, c := range map[string]struct {
		files map[string]string
		lost  []string // checks that must warn, and no other
	}{
		"a quiet machine": {map[string]string{"proc/swaps": head, "sys/power/state": "freeze mem", "proc/sys/kernel/yama/ptrace_scope": "1\n"}, nil},
		"zram and crypt":  {map[string]string{"proc/swaps": head + "/dev/zram0\tpartition\t1\t0\t100\n/dev/dm-7\tpartition\t1\t0\t-2\n", "sys/block/dm-7/dm/uuid": "CRYPT-PLAIN-swap\n", "proc/sys/kernel/yama/ptrace_scope": "2"}, nil},
		"an open device":  {map[string]string{"proc/swaps": head + "/dev/sda2\tpartition\t1\t0\t-2\n", "proc/sys/kernel/yama/ptrace_scope": "1"}, []string{"swap"}},
		"lvm":             {map[string]string{"proc/swaps": head + "/dev/dm-1\tpartition\t1\t0\t-2\n", "sys/block/dm-1/dm/uuid": "LVM-xyz", "proc/sys/kernel/yama/ptrace_scope": "1"}, []string{"swap"}},
		"a file":          {map[string]string{"proc/swaps": head + "/zram0\tfile\t1\t0\t-2\n", "proc/sys/kernel/yama/ptrace_scope": "1"}, []string{"swap"}},
		"hibernation":     {map[string]string{"sys/power/state": "freeze mem disk", "sys/power/resume": "8:2", "proc/sys/kernel/yama/ptrace_scope": "1"}, []string{"hibernation"}},
		"tracing":         {map[string]string{"proc/sys/kernel/yama/ptrace_scope": "0"}, []string{"tracing"}},
	} {
		f := &findings{}
		f.examineMachine(madeOf(t, c.files))
		var lost []string
		for _, x := range f.Checks {
			if x.Warning {
				lost = append(lost, x.Name)
			}
			if x.Note == "" || x.Warning && x.Next == "" {
				t.Errorf("%s: %+v says nothing", name, x)
			}
		}
		if strings.Join(lost, " ") != strings.Join(c.lost, " ") {
			t.Errorf("%s: %v, want %v", name, lost, c.lost)
		}
	}
}

func TestDoctorTellsWhoElseReads(t *testing.T) {
	root := t.TempDir()
	dir, err := home.At(filepath.Join(root, "in", "h"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir.Path(), 0o700); err != nil {
		t.Fatal(err)
	}
	look := func() check {
		f := &findings{}
		f.examineReaders(dir)
		return f.Checks[0]
	}
	if c := look(); c.Warning {
		t.Fatalf("%+v", c)
	}
	if err := os.Chmod(filepath.Join(root, "in"), 0o777); err != nil {
		t.Fatal(err)
	}
	if c := look(); !c.Warning || !strings.Contains(c.Note, "by everybody") {
		t.Errorf("a folder for all: %+v", c)
	}
	if err := os.Chmod(filepath.Join(root, "in"), os.ModeSticky|0o777); err != nil { // as /tmp is
		t.Fatal(err)
	}
	if c := look(); c.Warning {
		t.Errorf("a sticky folder: %+v", c)
	}
	if err := os.WriteFile(dir.Vault(), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if c := look(); !c.Warning || !strings.Contains(c.Note, "vault.db") {
		t.Errorf("a vault for all: %+v", c)
	}
	if err := errors.Join(os.Chmod(dir.Vault(), 0o600), os.WriteFile(bolt.JournalPath(dir.Vault()), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if c := look(); !c.Warning || !strings.Contains(c.Note, "vault.db.journal can be read") {
		t.Errorf("a journal for all: %+v", c)
	}
}

func TestDoctorTellsTheTruthAboutASharedUID(t *testing.T) {
	for name, c := range map[string]struct {
		s       api.Status
		system  bool
		sources []string
		says    []string
		not     []string
	}{
		"nothing":    {api.Status{}, false, []string{"file"}, []string{"nothing asks for your presence", "read the key", "stop, lock and replace"}, []string{"asks for your presence (", "has not that"}},
		"a word":     {api.Status{Presence: true, PresenceBy: "passphrase"}, false, []string{"file"}, []string{"(passphrase)", "read the key"}, []string{"nothing asks"}},
		"both words": {api.Status{Presence: true, PresenceBy: "passphrase"}, false, []string{"passphrase"}, []string{"(passphrase)"}, []string{"read the key"}},
		"a keyring":  {api.Status{Presence: true, PresenceBy: "keyring"}, false, []string{"passphrase", "file"}, []string{"open to it", "read the key"}, []string{"has not that"}},
		"a service":  {api.Status{}, true, []string{"credential"}, []string{"no agent has its uid"}, []string{"read the key"}},
	} {
		f := &findings{}
		f.examineNeighbours(&c.s, c.system, c.sources)
		for _, want := range c.says {
			if !strings.Contains(f.Checks[0].Note, want) {
				t.Errorf("%s does not say %q: %s", name, want, f.Checks[0].Note)
			}
		}
		for _, bad := range c.not {
			if strings.Contains(f.Checks[0].Note, bad) {
				t.Errorf("%s says %q: %s", name, bad, f.Checks[0].Note)
			}
		}
	}
}
