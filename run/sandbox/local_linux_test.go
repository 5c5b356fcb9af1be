package sandbox_test

import (
	"io"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// A socket in the box's home is served by the daemon, beside listeners of the other sort, each under its own name.
func TestASocketInTheHome(t *testing.T) {
	both(t, func(t *testing.T) {
		s := newSandbox(t, sandbox.Options{})
		b := newBox(t, s, policy.LevelSealed)
		out := &sink{}
		at := b.Home() + "/.zavhoz/deep/agent"
		p, err := b.Start(t.Context(), sandbox.Spec{
			Argv: []string{"python3", "-c", `
import os, socket, stat, sys
for how, where in (socket.AF_UNIX, sys.argv[1]), (socket.AF_INET, ("127.0.0.1", 3128)), (socket.AF_UNIX, sys.argv[2]):
    c = socket.socket(how)
    c.connect(where)
    print(c.recv(64).decode())
st = os.stat(sys.argv[1])
print(stat.S_ISSOCK(st.st_mode), st.st_uid == os.getuid(), os.stat(os.path.dirname(sys.argv[1])).st_mode & 0o022)
`, at, b.Home() + "/second"},
			Env: environment(b), Stdout: out, Stderr: out,
			Files:  []sandbox.File{{Path: b.Home() + "/.zavhoz/known_hosts", Data: []byte("x")}},
			Listen: []sandbox.Listen{{Name: "agent", Addr: "unix:" + at}, {Name: "egress", Addr: "127.0.0.1:3128"}, {Name: "second", Addr: "unix:" + b.Home() + "/second"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Kill(); p.Wait() })
		done := make(chan struct{}, 3)
		for _, name := range []string{"agent", "egress", "second"} {
			l := p.Listener(name)
			if l == nil {
				t.Fatalf("no listener %s", name)
			}
			go func() {
				defer func() { done <- struct{}{} }()
				if c, err := l.Accept(); err == nil {
					_, _ = io.WriteString(c, name)
					_ = c.Close()
				}
			}()
		}
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		p.Wait()
		for range 3 {
			<-done
		}
		if want := "agent\negress\nsecond\nTrue True 0\n"; out.String() != want {
			t.Errorf("got %q, want %q", out, want)
		}
	})
}

// A socket lies in the box's own home or nowhere; where there is no home of the box's own, there is none.
func TestASocketElsewhereIsRefused(t *testing.T) {
	both(t, func(t *testing.T) {
		s := newSandbox(t, sandbox.Options{})
		b := newBox(t, s, policy.LevelSealed)
		spec := func(b *sandbox.Box, addr string) sandbox.Spec {
			return sandbox.Spec{Argv: []string{"true"}, Env: environment(b), Listen: []sandbox.Listen{{Name: "agent", Addr: addr}}}
		}
		for _, p := range []string{"", "agent", "/tmp/agent", b.Home(), b.Home() + "/", b.Home() + "/../agent", b.Home() + "x/agent", b.Home() + "/a\x00b", b.Home() + "/" + strings.Repeat("a", 108)} {
			if _, err := b.Start(t.Context(), spec(b, "unix:"+p)); fault.CodeOf(err) != fault.InvalidArgument {
				t.Errorf("%q: %v", p, err)
			}
		}
		taken := spec(b, "unix:"+b.Home()+"/one")
		taken.Files = []sandbox.File{{Path: b.Home() + "/one", Data: []byte("x")}}
		if _, err := b.Start(t.Context(), taken); fault.CodeOf(err) != fault.InvalidArgument || !strings.Contains(err.Error(), "listen at unix:") {
			t.Errorf("where a file is: %v", err)
		}
		basic := newBox(t, s, policy.LevelBasic)
		if _, err := basic.Start(t.Context(), spec(basic, "unix:"+basic.Home()+"/agent")); fault.CodeOf(err) != fault.IsolationMissing {
			t.Errorf("at basic: %v", err)
		}
	})
}
