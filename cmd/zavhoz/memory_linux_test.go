package main

import (
	"bufio"
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"reflect"
	"strings"
	"syscall"
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

// formsOf are the ways in which a word lies in memory: as it is, and as HMAC keeps a key, added to either of two bytes.
func formsOf(words map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	for name, w := range words {
		out[name] = w
		for _, pad := range []byte{0x36, 0x5c} {
			padded := bytes.Clone(w)
			for i := range padded {
				padded[i] ^= pad
			}
			out[fmt.Sprintf("%s, padded by %#x", name, pad)] = padded
		}
	}
	return out
}

// inMemory tells how often each of words is in the writable memory of a process. What the race detector reserves for itself, far larger than what anybody fills, is left out.
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
	b, nothing := make([]byte, 1<<20), make([]byte, 1<<20)
	const longest = 128 // of a word: so much is looked at twice, where two parts meet
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		var from, to uint64
		var mode string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") || to-from > 1<<30 {
			continue
		}
		for at := from; at < to; at += uint64(len(b) - longest) {
			n, _ := mem.ReadAt(b[:min(uint64(len(b)), to-at)], int64(at)) // secret memory gives nothing, to nobody
			if bytes.Equal(b[:n], nothing[:n]) {
				continue
			}
			for name, w := range words {
				if k := bytes.Count(b[:n], w); k > 0 {
					found[name] += k
				}
			}
		}
	}
	return found
}

// unreadable fails where the daemon's memory opens to its own user.
func unreadable(t *testing.T, pid int) {
	t.Helper()
	if f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid)); !errors.Is(err, fs.ErrPermission) {
		_ = f.Close()
		t.Fatalf("the daemon's memory opens to its own user: %v", err)
	}
}

// forgotten locks the vault and fails where anything of words is left in the daemon's memory. Only root can look; who is not, finds it closed before and after.
func (p *place) forgotten(words map[string][]byte) {
	p.t.Helper()
	t := p.t.(*testing.T)
	pid := p.status().PID
	words = formsOf(words)
	words["home"] = []byte(p.dir.Path())
	if os.Getuid() != 0 {
		unreadable(t, pid)
		p.ok("lock")
		unreadable(t, pid)
		return
	}
	before := inMemory(t, pid, words)
	p.ok("lock")
	after := inMemory(t, pid, words)
	t.Logf("unlocked: %v, locked: %v", before, after)
	if after["home"] == 0 {
		t.Fatal("the search finds nothing at all")
	}
	delete(after, "home")
	if len(after) > 0 {
		t.Errorf("left in a locked daemon: %v", after)
	}
}

// listening serves the place over HTTP, in the foreground, until the test ends.
func (p *place) listening(flags ...string) (url string) {
	p.t.Helper()
	c := p.cmd(append([]string{"serve", "--listen", "127.0.0.1:0"}, flags...)...)
	log, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	var line struct{ Msg, Listen string }
	for line.Msg != "serving" && lines.Scan() {
		decode(p.t, lines.Text(), &line)
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for lines.Scan() {
		}
	}()
	p.t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		<-drained
		_ = c.Wait()
	})
	return "http://" + line.Listen
}

// sends gives the vault a value over HTTP, by a connection that stays open.
func (p *place) sends(url, value string) {
	p.t.Helper()
	var agent struct{ Token string }
	decode(p.t, p.ok("agent", "add", random(p.t.(*testing.T), "caller"), "--role", "operator", "--json"), &agent)
	req, err := http.NewRequestWithContext(p.t.Context(), "POST", url+"/api/v1/projects/default/config/secrets", strings.NewReader(`{"secrets":{"SENT":"`+value+`"}}`))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+agent.Token)
	req.Header.Set("Content-Type", "application/json")
	own := &http.Transport{}
	p.t.Cleanup(own.CloseIdleConnections)
	resp, err := (&http.Client{Transport: own}).Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || resp.Close {
		p.t.Fatalf("%d, closed %v: %s %v", resp.StatusCode, resp.Close, b, err)
	}
}

// TestWhatALockLeavesInMemory: whoever is not root reads nothing of the daemon's memory, unlocked or locked; and root finds no copy of the passphrase, of the keys or of a value in one that is
// locked, whoever made it: the age library, the ciphers, net/http of what came over the operator's socket, over a connection that is kept open, or went to a person's own run.
func TestWhatALockLeavesInMemory(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	phrase, value, sent := random(t, "phrase"), random(t, "value"), random(t, "sent")
	p.okIn(phrase+"\n", "init", "--unlock", "passphrase", "--passphrase-from", "-")
	p.stop()
	key := p.dataKey(phrase)
	sealing, err := hkdf.Key(sha256.New, key, nil, "zavhoz v1 seal", len(key))
	if err != nil {
		t.Fatal(err)
	}
	words := map[string][]byte{"passphrase": []byte(phrase), "value": []byte(value), "value over HTTP": []byte(sent), "data key": key, "sealing key": sealing}
	url := p.listening("--locked")
	p.okIn(phrase+"\n", "unlock", "--passphrase-from", "-")
	p.okIn(value, "resource", "add", "generic", "one", "--set", "env=ONE", "--secret", "value=-")
	p.ok("run", "one", "--open", "--", "probe", "env", "ONE")
	p.sends(url, sent)
	p.forgotten(words)
}

// An identity that a person brought is gone as well.
func TestALockForgetsTheIdentity(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	p.ok("lock") // the next daemon does not look for it
	p.stop()
	text, err := os.ReadFile(p.dir.Identity())
	if err != nil {
		t.Fatal(err)
	}
	ids, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	brought := p.write("brought.txt", string(text))
	if err := os.Remove(p.dir.Identity()); err != nil {
		t.Fatal(err)
	}
	p.ok("unlock", "--identity", brought)
	line := ids[0].(*age.X25519Identity).String()
	p.forgotten(map[string][]byte{"identity": []byte(line), "identity's key": reflect.ValueOf(ids[0]).Elem().FieldByName("secretKey").Bytes()})
}
