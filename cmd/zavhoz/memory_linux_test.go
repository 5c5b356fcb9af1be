package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// random is a word that no program holds by itself: the daemon of these tests is the test's own binary, with all its constants.
func random(t *testing.T, kind string) string {
	t.Helper()
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return kind + "-" + hex.EncodeToString(b)
}

// dataKey unwraps the vault's data key as its slot holds it. No daemon has the vault open.
func (p *place) dataKey(phrase string) []byte {
	p.t.Helper()
	st, err := bolt.Open(p.t.Context(), bolt.Options{Path: p.dir.Vault(), ReadOnly: true, LockTimeout: busyTimeout})
	if err != nil {
		p.t.Fatal(err)
	}
	header, err := vault.Header(p.t.Context(), st)
	if err = errors.Join(err, st.Close()); err != nil {
		p.t.Fatal(err)
	}
	slots, err := keyring.Slots(header)
	if err != nil {
		p.t.Fatal(err)
	}
	i, err := keyring.PassphraseIdentity(secret.FromString(phrase))
	if err != nil {
		p.t.Fatal(err)
	}
	wrapped, err := base64.StdEncoding.DecodeString(slots[0].Wrapped)
	if err != nil {
		p.t.Fatal(err)
	}
	plain, err := age.Decrypt(bytes.NewReader(wrapped), i)
	if err != nil {
		p.t.Fatal(err)
	}
	raw, err := io.ReadAll(plain)
	if err != nil || len(raw) != 32 {
		p.t.Fatalf("%d bytes: %v", len(raw), err)
	}
	return raw
}

// inMemory counts how often each of words is in the writable memory of a process. What the race detector reserves for itself, far larger than what anybody fills, is left out.
func inMemory(t *testing.T, pid int, words map[string][]byte) map[string]int {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	found := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		var from, to uint64
		var mode string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") || to-from > 1<<30 {
			continue
		}
		b := make([]byte, to-from)
		n, _ := mem.ReadAt(b, int64(from)) // secret memory gives nothing, to nobody
		for name, w := range words {
			found[name] += bytes.Count(b[:n], w)
		}
	}
	return found
}

// TestWhatALockLeavesInMemory: whoever is not root reads nothing of the daemon's memory, unlocked or locked. Root finds copies of what passed through a daemon that a passphrase unlocked, that took a
// value in and gave it to a run: docs/unlocking.md names them. A lock makes none more.
func TestWhatALockLeavesInMemory(t *testing.T) {
	p := newPlace(t)
	phrase, value := random(t, "phrase"), random(t, "value")
	p.okIn(phrase+"\n", "init", "--unlock", "passphrase", "--passphrase-from", "-")
	p.stop()
	words := map[string][]byte{"passphrase": []byte(phrase), "value": []byte(value), "data key": p.dataKey(phrase), "home": []byte(p.dir.Path())}
	p.okIn(phrase+"\n", "unlock", "--passphrase-from", "-")
	p.okIn(value, "resource", "add", "generic", "one", "--set", "env=ONE", "--secret", "value=-")
	p.ok("run", "one", "--open", "--", "probe", "env", "ONE")
	pid := p.status().PID
	if os.Getuid() != 0 {
		for _, lock := range []bool{false, true} {
			if lock {
				p.ok("lock")
			}
			if f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid)); !errors.Is(err, fs.ErrPermission) {
				_ = f.Close()
				t.Fatalf("the daemon's memory opens to its own user: %v", err)
			}
		}
		return
	}
	before := inMemory(t, pid, words)
	p.ok("lock")
	after := inMemory(t, pid, words)
	t.Logf("unlocked: %v, locked: %v", before, after)
	if after["home"] == 0 {
		t.Fatal("the search finds nothing at all")
	}
	for _, name := range []string{"passphrase", "value", "data key"} {
		if after[name] > before[name] {
			t.Errorf("a lock left more of the %s than there was: %d, %d", name, before[name], after[name])
		}
	}
}
