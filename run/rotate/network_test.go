package rotate

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// A server that is away when an overlap ends keeps the old key until it is back: the end is on record as not come about, and tried again later, not at once.
func TestTheNetworkIsAwayAtTheEndOfAnOverlap(t *testing.T) {
	s, h := sshtest.Start(t, sshtest.Options{}), newHouse(t)
	h.addServer(s)
	old, hour := h.value("vps", "ssh_key"), time.Hour
	_, err := h.r.Start(t.Context(), operator, "vps", Request{AuthorizedKeys: s.AuthorizedKeys(), Overlap: &hour})
	must(t, err)
	files := map[string][]byte{}
	for _, name := range []string{"host", "authorized"} {
		files[name], err = os.ReadFile(filepath.Join(filepath.Dir(s.AuthorizedKeys()), name))
		must(t, err)
	}
	s.Stop()
	h.pass(hour + time.Minute)
	h.r.Due(t.Context())
	if x := h.rotation("vps"); x == nil || x.Step != vault.RotationSwitched || x.Code != string(fault.ConnectionFailed) || strings.Contains(x.Message, s.Host) {
		t.Fatalf("on record is %+v", x)
	}
	tried := h.rotation("vps").At
	h.r.Due(t.Context())
	if !h.rotation("vps").At.Equal(tried) {
		t.Error("it was tried again at once")
	}
	back := sshtest.Start(t, sshtest.Options{Port: s.Port})
	for name, b := range files { // the same server again: its host key, and who is let in
		must(t, os.WriteFile(filepath.Join(filepath.Dir(back.AuthorizedKeys()), name), b, 0o600))
	}
	h.pass(retryEvery)
	state, err := h.r.Resume(t.Context(), operator, "vps")
	must(t, err)
	if len(state.Remarks) != 1 || !strings.Contains(state.Remarks[0], "still let in") { // by the copy of the file, which stands for another one of the server's
		t.Errorf("%q", state.Remarks)
	}
	if b, err := os.ReadFile(s.AuthorizedKeys()); err != nil || strings.Count(string(b), "ssh-ed25519") != 1 || h.rotation("vps") != nil || !strings.Contains(h.known(), old) {
		t.Errorf("the file is\n%s", b)
	}
}

// What a server runs is "sh -s": no key and no script is in its list of processes or in a history.
func TestAServerIsToldOverStandardInput(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	s, h := sshtest.Start(t, sshtest.Options{Config: []string{`ForceCommand sh -c 'echo "$SSH_ORIGINAL_COMMAND" >> ` + seen + `; exec $SSH_ORIGINAL_COMMAND'`}}), newHouse(t)
	h.addServer(s)
	_, err := h.r.Start(t.Context(), operator, "vps", Request{AuthorizedKeys: s.AuthorizedKeys()})
	must(t, err)
	b, err := os.ReadFile(seen)
	must(t, err)
	if got := strings.Fields(strings.ReplaceAll(string(b), "sh -s\n", "")); len(b) == 0 || len(got) > 0 {
		t.Errorf("the server ran %q", b)
	}
	if strings.Contains(s.Log(), "PRIVATE") {
		t.Error("the server's log holds a key")
	}
}

// Of several that begin at once one does; the others are told.
func TestOneRotationAtATime(t *testing.T) {
	h := newHouse(t)
	h.addOne()
	var all sync.WaitGroup
	results := make(chan error, 8)
	for range 8 {
		all.Go(func() {
			_, err := h.r.Start(t.Context(), operator, "one", Request{Generate: 32})
			results <- err
		})
	}
	all.Wait()
	close(results)
	begun := 0
	for err := range results {
		if err == nil {
			begun++
		} else if fault.CodeOf(err) != fault.ResourceBusy {
			t.Error(err)
		}
	}
	if begun != 1 || h.resource("one").Version != 2 {
		t.Errorf("%d began", begun)
	}
}
