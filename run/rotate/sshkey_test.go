package rotate

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// letsIn tells whether the server takes a private key, by a client that is not ours.
func letsIn(t testing.TB, s *sshtest.Server, key string) bool {
	t.Helper()
	signer, err := xssh.ParsePrivateKey([]byte(key))
	must(t, err)
	pinned, _, _, _, err := xssh.ParseAuthorizedKey([]byte(s.HostKey))
	must(t, err)
	c, err := xssh.Dial("tcp", s.Host+":"+portOf(s), &xssh.ClientConfig{User: s.User, Auth: []xssh.AuthMethod{xssh.PublicKeys(signer)}, HostKeyCallback: xssh.FixedHostKey(pinned), Timeout: time.Minute})
	if err != nil {
		if !strings.Contains(err.Error(), "unable to authenticate") {
			t.Fatal(err)
		}
		return false
	}
	_ = c.Close()
	return true
}

// dress writes the server's authorized_keys with options, comments and others' lines around its key, and gives the pieces of the text.
func dress(t testing.TB, s *sshtest.Server) (before, options, after string) {
	t.Helper()
	b, err := os.ReadFile(s.AuthorizedKeys())
	must(t, err)
	other := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2pqMQJ6B6BrDSXCVvYIPhsH0FwP1OFx6k8vQ1mXYkm somebody else\n"
	before, options, after = "# keys of the house, 'quoted' and $dollars \\n\n\n"+other, `environment="A=\"b c\"",no-pty `, "# the end, without a line end"
	must(t, os.WriteFile(s.AuthorizedKeys(), []byte(before+options+strings.TrimSpace(string(b))+" old comment # it's\n"+after), 0o600))
	must(t, os.Chmod(s.AuthorizedKeys(), 0o640))
	return before, options, after
}

func TestAnSSHKeyIsExchanged(t *testing.T) {
	for name, config := range map[string][]string{"by sh": nil, "by sftp alone": {"ForceCommand internal-sftp"}} {
		t.Run(name, func(t *testing.T) {
			s, h := sshtest.Start(t, sshtest.Options{Config: config}), newHouse(t)
			h.addServer(s)
			before, options, after := dress(t, s)
			old := h.value("vps", "ssh_key")
			state, err := h.r.Start(t.Context(), operator, "vps", Request{AuthorizedKeys: s.AuthorizedKeys()})
			must(t, err)
			fresh := h.value("vps", "ssh_key")
			if state.Ended != "done" || state.Version != 2 || fresh == old || h.rotation("vps") != nil || len(state.Remarks) > 0 {
				t.Errorf("%+v", state)
			}
			if letsIn(t, s, old) || !letsIn(t, s, fresh) {
				t.Error("not the new key alone is let in")
			}
			signer, err := xssh.ParsePrivateKey([]byte(fresh))
			must(t, err)
			b, err := os.ReadFile(s.AuthorizedKeys())
			must(t, err)
			if want := before + options + line(signer.PublicKey()) + " old comment # it's\n" + after; string(b) != want {
				t.Errorf("the file is\n%s\nnot\n%s", b, want)
			}
			info, err := os.Stat(s.AuthorizedKeys())
			must(t, err)
			if info.Mode().Perm() != 0o640 {
				t.Errorf("its mode became %v", info.Mode())
			}
			left, err := os.ReadDir(strings.TrimSuffix(s.AuthorizedKeys(), "authorized"))
			must(t, err)
			for _, e := range left {
				if strings.Contains(e.Name(), "zavhoz") {
					t.Errorf("%s was left behind", e.Name())
				}
			}
			if strings.Contains(h.known(), old) == false {
				t.Error("the old key is no longer masked: it stays as a former version")
			}
		})
	}
}

// The points at which an exchange of a key is stopped, in their order.
var sshPoints = []string{"made", "install", "installed", "prove", "proven", "switched", "retire"}

// At every point the resource's key or the one that its rotation holds is let in; from every point it goes on to its end and back to its beginning.
func TestAStoppedExchangeOfAKeyGoesOnAndBack(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	for _, point := range sshPoints {
		for _, way := range []string{"resume", "abort"} {
			t.Run(point+" "+way, func(t *testing.T) {
				h := newHouse(t)
				h.addServer(s)
				old := h.value("vps", "ssh_key")
				kept, err := os.ReadFile(s.AuthorizedKeys())
				must(t, err)
				defer func() { must(t, os.WriteFile(s.AuthorizedKeys(), kept, 0o600)) }()
				if !h.stopAt(point, func() error {
					_, err := h.r.Start(t.Context(), operator, "vps", Request{AuthorizedKeys: s.AuthorizedKeys()})
					return err
				}) {
					t.Fatal("it does not come there")
				}
				if now := h.value("vps", "ssh_key"); !letsIn(t, s, now) {
					t.Errorf("stopped at %s, and what the resource has is not let in", point)
				}
				if way == "abort" && point == "retire" { // the old one is gone from the server: only forward
					_, err := h.r.Abort(t.Context(), operator, "vps")
					wantCode(t, err, fault.RemoteAuthFailed)
					way = "resume"
				}
				if way == "resume" {
					state, err := h.r.Resume(t.Context(), operator, "vps")
					must(t, err)
					if fresh := h.value("vps", "ssh_key"); state.Ended != "done" || fresh == old || letsIn(t, s, old) || !letsIn(t, s, fresh) {
						t.Errorf("resumed from %s: %+v", point, state)
					}
				} else {
					state, err := h.r.Abort(t.Context(), operator, "vps")
					must(t, err)
					b, err := os.ReadFile(s.AuthorizedKeys())
					must(t, err)
					if state.Ended != "aborted" || h.value("vps", "ssh_key") != old || string(b) != string(kept) {
						t.Errorf("taken back from %s: %+v\n%s", point, state, b)
					}
				}
				if h.rotation("vps") != nil {
					t.Error("its record is still there")
				}
			})
		}
	}
}

// An overlap keeps both keys; a stop within taking back leads on by taking back alone.
func TestTheOverlapOfAKey(t *testing.T) {
	s, h := sshtest.Start(t, sshtest.Options{}), newHouse(t)
	h.addServer(s)
	old, hour := h.value("vps", "ssh_key"), time.Hour
	q := Request{AuthorizedKeys: s.AuthorizedKeys(), Overlap: &hour}
	state, err := h.r.Start(t.Context(), operator, "vps", q)
	must(t, err)
	fresh := h.value("vps", "ssh_key")
	if state.Ended != "" || state.Rotation.Step != vault.RotationSwitched || !letsIn(t, s, old) || !letsIn(t, s, fresh) {
		t.Fatalf("%+v", state)
	}
	h.r.Due(t.Context())
	if !letsIn(t, s, old) {
		t.Fatal("the old key went before its time")
	}
	if !h.stopAt(string(vault.RotationUndoing), func() error { _, err := h.r.Abort(t.Context(), operator, "vps"); return err }) {
		t.Fatal("taking back does not come there")
	}
	if h.value("vps", "ssh_key") != old {
		t.Error("the resource has not the old key while the new one goes")
	}
	_, err = h.r.Resume(t.Context(), operator, "vps")
	wantCode(t, err, fault.VersionConflict)
	_, err = h.r.Abort(t.Context(), operator, "vps")
	must(t, err)
	if letsIn(t, s, fresh) || !letsIn(t, s, old) || h.rotation("vps") != nil {
		t.Error("not the old key alone is let in")
	}
	_, err = h.r.Start(t.Context(), operator, "vps", q)
	must(t, err)
	h.pass(hour + time.Minute)
	h.r.Due(t.Context())
	if letsIn(t, s, old) || !letsIn(t, s, h.value("vps", "ssh_key")) || h.rotation("vps") != nil {
		t.Error("the end of the overlap did not take the old key away")
	}
}

// What the server does not let happen changes nothing, and says what to do.
func TestAServerThatRefusesTheExchange(t *testing.T) {
	for name, c := range map[string]struct {
		config []string
		path   string // "": the right one
		code   fault.Code
	}{
		"a full disk":          {[]string{`ForceCommand sh -c "trap '' XFSZ; ulimit -f 0; exec sh -s"`}, "", fault.NotPermitted},
		"no shell, no sftp":    {[]string{"ForceCommand /bin/true"}, "", fault.NotSupported},
		"no such file":         {nil, "/nonexistent/authorized_keys", fault.NotSupported},
		"a file without it":    {nil, "/etc/hostname", fault.NotSupported},
		"no file but a folder": {nil, "/etc", fault.NotSupported},
	} {
		t.Run(name, func(t *testing.T) {
			s, h := sshtest.Start(t, sshtest.Options{Config: c.config}), newHouse(t)
			h.addServer(s)
			was, err := os.ReadFile(s.AuthorizedKeys())
			must(t, err)
			old := h.value("vps", "ssh_key")
			path := c.path
			if path == "" {
				path = s.AuthorizedKeys()
			}
			_, err = h.r.Start(t.Context(), operator, "vps", Request{AuthorizedKeys: path})
			wantCode(t, err, c.code)
			if x := h.rotation("vps"); x == nil || x.Step != vault.RotationMade || x.Code != string(c.code) {
				t.Errorf("on record is %+v", x)
			}
			if is, err := os.ReadFile(s.AuthorizedKeys()); err != nil || string(is) != string(was) {
				t.Errorf("the file is %q", is)
			}
			if h.value("vps", "ssh_key") != old || !letsIn(t, s, old) {
				t.Error("the old key is not as it was")
			}
			if name == "a full disk" { // taking back needs no room
				_, err = h.r.Abort(context.Background(), operator, "vps")
				must(t, err)
			}
		})
	}
}
