package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Who connected and is gone is not taken for whoever has its pid by then: a stopped daemon accepts late. (Until it is reaped, its pid cannot be another's; here it is
// gone either way.)
func TestAttack70_APidIsNotTakenForItsNextOwner(t *testing.T) {
	sock := filepath.Join(shortDir(t), "s")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	connect := func() (*exec.Cmd, io.WriteCloser) {
		c := exec.Command(os.Args[0], "-test.run", "^TestConnectAndWait$")
		c.Env = append(os.Environ(), "ZAVHOZ_TEST_SOCKET="+sock)
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c, in
	}
	accept := func() net.Conn {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}

	living, in := connect()
	c := accept()
	if p, ok := peerOf(c); !ok || p.PID != living.Process.Pid || p.Same == nil || !p.Same() {
		t.Fatalf("who is there is not known: %+v", p)
	}
	in.Close()
	if err := living.Wait(); err != nil {
		t.Fatal(err)
	}
	if p, ok := peerOf(c); !ok || p.Same() {
		t.Error("who has gone is taken for alive")
	}

	// gone before it was accepted
	early, in := connect()
	in.Close()
	if err := early.Wait(); err != nil {
		t.Fatal(err)
	}
	if p, ok := peerOf(accept()); ok && p.Same() {
		t.Error("who went before it was accepted is taken for alive")
	}
}

// TestConnectAndWait is the other process of the test above; by itself it is nothing.
func TestConnectAndWait(t *testing.T) {
	sock := os.Getenv("ZAVHOZ_TEST_SOCKET")
	if sock == "" {
		return
	}
	c, err := net.Dial("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.Copy(io.Discard, os.Stdin)
}
