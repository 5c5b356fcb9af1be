package rotate

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/vaulttest"
)

// Before each commit of an exchange in turn the vault's file becomes one that may not be written: the exchange stops and says why, the key that the resource has is let in, and with the right given
// back the next process brings it to its end, or takes it back.
func TestAnExchangeLosesTheRightToWriteBeforeEachCommit(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	kept, err := os.ReadFile(s.AuthorizedKeys())
	must(t, err)
	for n, finished := 0, false; !finished; n++ {
		for _, back := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, back: %v", n, back), func(t *testing.T) {
				must(t, os.WriteFile(s.AuthorizedKeys(), kept, 0o600))
				var denied *vaulttest.Denied
				h := newHouseOn(t, vaulttest.Options{Lossy: true, Wrap: func(st store.Store) store.Store {
					denied = vaulttest.NewDenied(t, st, "", -1)
					return denied
				}})
				h.addServer(s)
				old := h.value("vps", "ssh_key")
				must(t, h.Vault.Noted(t.Context()))
				denied.Path, denied.Left = h.Path, n
				_, err := h.r.Start(t.Context(), operator, "vps", Request{AuthorizedKeys: s.AuthorizedKeys()})
				if finished = err == nil; !finished && (fault.CodeOf(err) != fault.Internal || !strings.Contains(err.Error(), "may not be written: nothing was changed")) {
					t.Errorf("it says %v", err)
				}
				if !letsIn(t, s, h.value("vps", "ssh_key")) {
					t.Error("what the resource has is not let in")
				}
				if was := denied.Allow(); was == finished {
					t.Fatalf("denied: %v, finished: %v", was, finished)
				}
				h.Leave()
				h.enter()
				if !letsIn(t, s, h.value("vps", "ssh_key")) {
					t.Error("opened anew, what the resource has is not let in")
				}
				x := h.rotation("vps")
				switch {
				case finished:
					back = false
				case x == nil && back:
				case x == nil:
					_, err = h.r.Start(t.Context(), operator, "vps", Request{AuthorizedKeys: s.AuthorizedKeys()})
					must(t, err)
				case back:
					if _, err = h.r.Abort(t.Context(), operator, "vps"); fault.CodeOf(err) == fault.RemoteAuthFailed && !letsIn(t, s, old) { // it was retired: there is no way but on
						back = false
						_, err = h.r.Resume(t.Context(), operator, "vps")
					}
					must(t, err)
				default:
					_, err = h.r.Resume(t.Context(), operator, "vps")
					must(t, err)
				}
				fresh := h.value("vps", "ssh_key")
				if (fresh == old) != back || !letsIn(t, s, fresh) || h.rotation("vps") != nil || !back && letsIn(t, s, old) {
					t.Errorf("at the end it has the old key: %v; that is let in: %v", fresh == old, letsIn(t, s, old))
				}
				must(t, h.Vault.Verify(t.Context()))
			})
		}
		if t.Failed() || n > 100 {
			break
		}
		if finished && n < 4 {
			t.Fatalf("it has %d commits only", n)
		}
	}
}
