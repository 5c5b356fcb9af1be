package ssh_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// yard is a bed whose server leads to another, which the clients know by a handle and log in to with an agent.
type yard struct {
	*bed
	inner *sshtest.Server
	seat  *seat
}

func newYard(t *testing.T, o bedOptions) *yard {
	t.Helper()
	y := &yard{inner: sshtest.Start(t, sshtest.Options{Host: "127.0.0.3"})}
	o.jump = &ssh.Jump{Ports: []int{y.inner.Port}, Host: func(handle string) (secret.Secret, error) {
		if handle != "jump_0" {
			return secret.Secret{}, nil
		}
		return secret.FromString(y.inner.Host), nil
	}}
	y.bed, y.seat = newBed(t, o), newSeat(t, y.inner)
	o.jump.Ports = append(o.jump.Ports, y.server.Port) // no client is there yet
	known := filepath.Join(y.dir, "jump_hosts")
	config, hosts, err := ssh.JumpConfig([]ssh.Inner{{Handle: "jump_0", User: y.inner.User, Port: y.inner.Port, HostKey: y.inner.HostKey}}, []string{"prod_vps_1"}, known, y.seat.path)
	if err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(y.config)
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{y.config: append(first, config...), known: hosts} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return y
}

// of gives the recorded events of a kind.
func (b *bed) of(kind ssh.Kind) (all []ssh.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e.Kind == kind {
			all = append(all, e)
		}
	}
	return all
}

// The real ssh jumps, by alias and by address, and copies both ways; the far host is the one whose key is pinned; all of it over one connection.
func TestJump(t *testing.T) {
	y := newYard(t, bedOptions{})
	port := strconv.Itoa(y.inner.Port)
	byAddress := []string{"-J", "prod_vps_1", "-o", "HostKeyAlias=jump_0", "-p", port, y.inner.User + "@" + y.inner.Host}
	for _, c := range [][]string{{"prod_vps_1+jump_0"}, byAddress} {
		out, errs, code := y.client(t, "over", "ssh", append(c, `cat; echo " at ${SSH_CONNECTION##* }"; exit 3`)...)
		if out != "over at "+port+"\n" || errs != "" || code != 3 {
			t.Fatalf("%s: %q %q %d", c, out, errs, code)
		}
	}
	local := filepath.Join(y.dir, "big")
	want := noise(t, local, 9<<20+17)
	if _, errs, code := y.client(t, "", "scp", local, "prod_vps_1+jump_0:"+local+".far"); code != 0 || sum(t, local+".far") != want {
		t.Errorf("there: %q %d", errs, code)
	}
	if _, errs, code := y.client(t, "", "scp", "prod_vps_1+jump_0:"+local+".far", local+".back"); code != 0 || sum(t, local+".back") != want {
		t.Errorf("back: %q %d", errs, code)
	}
	y.await(t, func() bool { return len(y.of(ssh.KindJump)) == 8 })
	told := y.of(ssh.KindJump)
	if e := told[0]; e.What != port || e.Target != "jump_0" || e.Ended || e.Handle != "prod_vps_1" {
		t.Errorf("%+v", e)
	}
	if e := told[3]; !e.Ended || e.Target != y.inner.Host || e.Sent == 0 || e.Received == 0 || e.Code != "" {
		t.Errorf("%+v", e)
	}
	if n := y.server.Logins(); n != 1 {
		t.Errorf("%d logins at the server in between", n)
	}
	if n := y.inner.Logins(); n != 4 {
		t.Errorf("%d logins at the inner server", n)
	}
}

// A host that is not the pinned one is not spoken to, whoever the run says it is.
func TestAttack49_AJumpToAnImpostor(t *testing.T) {
	y := newYard(t, bedOptions{})
	for _, c := range [][]string{
		{"-J", "prod_vps_1", "-o", "HostKeyAlias=jump_0", "-p", strconv.Itoa(y.server.Port), y.server.User + "@" + y.server.Host},
		{"-J", "prod_vps_1", "-p", strconv.Itoa(y.inner.Port), y.inner.User + "@" + y.inner.Host},
	} {
		if out, errs, code := y.client(t, "", "ssh", append(c, "echo in")...); code != 255 || out != "" || !strings.Contains(errs, "Host key verification failed") {
			t.Errorf("%s: %q %q %d", c, out, errs, code)
		}
	}
	if y.inner.Logins() != 0 {
		t.Error("it logged in")
	}
}

// A jump is for ssh: no other port, no strange host, none under patterns of commands; what is refused is said and recorded.
func TestAttack49_AJumpIsNoOtherTunnel(t *testing.T) {
	y := newYard(t, bedOptions{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	other := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	_, errs, code := y.client(t, "", "ssh", "-W", "127.0.0.1:"+other, "prod_vps_1")
	if code == 0 || !strings.Contains(errs, "a jump goes to port 22, or to that of another server of this run") {
		t.Errorf("%d %q", code, errs)
	}
	y.await(t, func() bool { return y.denied("direct-tcpip") }) // recorded beside the answer, not before it
	client := dial(t, y.bed)
	type want struct {
		Host string
		Port uint32
		From string
		At   uint32
	}
	for _, w := range []want{
		{"", 22, "", 0}, {"-oProxyCommand=x", 22, "", 0}, {"a\nb", 22, "", 0}, {"a b", 22, "", 0}, {strings.Repeat("a", 256), 22, "", 0}, {"/run/sshd", 22, "", 0},
		{"127.0.0.3", 0, "", 0}, {"127.0.0.3", 1<<16 + 22, "", 0}, {"127.0.0.3", 5432, "", 0},
	} {
		if _, _, err := client.OpenChannel("direct-tcpip", xssh.Marshal(w)); err == nil {
			t.Errorf("%+v is opened", w)
		}
	}
	if _, _, err := client.OpenChannel("direct-tcpip", []byte("no")); err == nil {
		t.Error("what cannot be read is opened")
	}
	if n := len(y.of(ssh.KindJump)); n != 0 {
		t.Errorf("%d jumps", n)
	}

	bound := newYard(t, bedOptions{exec: func(string) error { return nil }})
	if _, errs, code := bound.client(t, "", "ssh", "prod_vps_1+jump_0", "true"); code == 0 || !strings.Contains(errs, "as this server takes certain commands only") {
		t.Errorf("with patterns: %d %q", code, errs)
	}
	bound.await(t, func() bool { return bound.denied("direct-tcpip") })
}

// Where the server in between does not get there, or lets nobody through, the client hears which; an address that the run does not know is in no word of it.
func TestAJumpThatLeadsNowhere(t *testing.T) {
	y := newYard(t, bedOptions{})
	y.inner.Stop()
	_, errs, code := y.client(t, "", "ssh", "prod_vps_1+jump_0", "true")
	if code == 0 || !strings.Contains(errs, "the server does not reach the host that was named") || strings.Contains(errs, y.inner.Host) {
		t.Errorf("%d %q", code, errs)
	}
	y.await(t, func() bool { return len(y.of(ssh.KindJump)) == 2 })
	if e := y.of(ssh.KindJump)[1]; !e.Ended || e.Code != fault.ConnectionFailed {
		t.Errorf("%+v", e)
	}
	closed := newYard(t, bedOptions{server: sshtest.Options{Config: []string{"AllowTcpForwarding no"}}})
	if _, errs, code := closed.client(t, "", "ssh", "prod_vps_1+jump_0", "true"); code == 0 || !strings.Contains(errs, "AllowTcpForwarding") {
		t.Errorf("%d %q", code, errs)
	}
}

// open opens a jump to the inner server and reads its first line.
func (y *yard) open(client *xssh.Client) (xssh.Channel, error) {
	ch, reqs, err := client.OpenChannel("direct-tcpip", xssh.Marshal(struct {
		Host string
		Port uint32
		From string
		At   uint32
	}{"jump_0", uint32(y.inner.Port), "", 0}))
	if err != nil {
		return nil, err
	}
	go xssh.DiscardRequests(reqs)
	hello := make([]byte, 4)
	if _, err := io.ReadFull(ch, hello); err != nil || !bytes.Equal(hello, []byte("SSH-")) {
		return nil, errors.Join(errors.New("no greeting"), err)
	}
	return ch, nil
}

// Jumps have the places of sessions, and end: when nothing passes, when the client goes, when the bastion closes.
func TestAttack67_JumpsAreBounded(t *testing.T) {
	y := newYard(t, bedOptions{limits: ssh.Limits{Sessions: 2, Idle: 400 * time.Millisecond}})
	client := dial(t, y.bed)
	first, err := y.open(client)
	if err != nil {
		t.Fatal(err)
	}
	second, err := y.open(client)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := y.open(client); err == nil || !strings.Contains(err.Error(), "too many sessions") {
		t.Errorf("a third: %v", err)
	}
	for _, ch := range []xssh.Channel{first, second} {
		if _, err := io.Copy(io.Discard, ch); err != nil {
			t.Errorf("it did not end by itself: %v", err)
		}
	}

	long := newYard(t, bedOptions{})
	leaves, stays := dial(t, long.bed), dial(t, long.bed)
	if _, err := long.open(leaves); err != nil {
		t.Fatal(err)
	}
	_ = leaves.Close()
	long.await(t, func() bool { return len(long.of(ssh.KindJump)) == 2 })
	ch, err := long.open(stays)
	if err != nil {
		t.Fatal(err)
	}
	_ = long.Close()
	_, _ = io.Copy(io.Discard, ch)
	if told := long.of(ssh.KindJump); len(told) != 4 || !told[3].Ended {
		t.Errorf("%+v", told)
	}
}

// What cannot be recorded is not jumped; and where the end of one could not be, nothing more is done.
func TestAJumpIsRecordedOrIsNot(t *testing.T) {
	y := newYard(t, bedOptions{})
	refuse := func(err error) {
		y.mu.Lock()
		defer y.mu.Unlock()
		y.refuse = err
	}
	refuse(errors.New("the disk is full"))
	if _, err := y.open(dial(t, y.bed)); err == nil || !strings.Contains(err.Error(), "cannot be recorded") || strings.Contains(err.Error(), "disk") {
		t.Errorf("%v", err)
	}
	refuse(nil)
	client := dial(t, y.bed)
	ch, err := y.open(client)
	if err != nil {
		t.Fatal(err)
	}
	refuse(errors.New("the disk is full"))
	_ = ch.Close()
	if err := client.Wait(); err == nil {
		t.Error("the bastion went on")
	}
}

// What would mean something to the reader of an ssh_config is in none.
func TestJumpConfigRefuses(t *testing.T) {
	y := newYard(t, bedOptions{})
	good := ssh.Inner{Handle: "in", User: "deploy", HostKey: y.inner.HostKey}
	for name, edit := range map[string]func(in *ssh.Inner, through, known, socket *string){
		"handle":  func(in *ssh.Inner, _, _, _ *string) { in.Handle = "in *" },
		"user":    func(in *ssh.Inner, _, _, _ *string) { in.User = "a\n  ProxyCommand x" },
		"no user": func(in *ssh.Inner, _, _, _ *string) { in.User = "" },
		"port":    func(in *ssh.Inner, _, _, _ *string) { in.Port = 1 << 16 },
		"no key":  func(in *ssh.Inner, _, _, _ *string) { in.HostKey = "" },
		"through": func(_ *ssh.Inner, through, _, _ *string) { *through = "a,b" },
		"known":   func(_ *ssh.Inner, _, known, _ *string) { *known = "/a b" },
		"socket":  func(_ *ssh.Inner, _, _, socket *string) { *socket = "agent" },
	} {
		in, through, known, socket := good, "jump", "/h/known", "/h/agent"
		edit(&in, &through, &known, &socket)
		if _, _, err := ssh.JumpConfig([]ssh.Inner{in}, []string{through}, known, socket); err == nil {
			t.Errorf("%s is written", name)
		}
	}
	config, known, err := ssh.JumpConfig([]ssh.Inner{good}, []string{"jump", "in"}, "/h/known", "/h/agent")
	if err != nil || !strings.Contains(string(config), "Host jump+in\n  HostName in\n  Port 22\n") || strings.Contains(string(config), "in+in") || !strings.HasPrefix(string(known), "in ssh-ed25519 ") {
		t.Errorf("%s %s %v", config, known, err)
	}
}
