package connect

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A command that takes the limit off its socket again, and lets none of our packets through, does not hold up the broker's end.
func TestCloseEndsConnectsThatHang(t *testing.T) {
	full, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(full)
	if err := unix.Bind(full, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(full, 0); err != nil {
		t.Fatal(err)
	}
	addr, err := unix.Getsockname(full)
	if err != nil {
		t.Fatal(err)
	}
	b := &Broker{dials: map[*socket]bool{}, done: make(chan struct{})}
	waits := func(fd int) bool { return stateOf(fd) == unix.BPF_TCP_SYN_SENT }
	hung, kept := ours(t)
	for range 16 { // until nobody gets in any more
		s, other := ours(t)
		_ = unix.SetNonblock(other, true)
		_ = unix.Connect(s.fd, addr)
		if time.Sleep(20 * time.Millisecond); waits(other) {
			break
		}
	}
	answered := make(chan unix.Errno, 1)
	go func() {
		answered <- b.dial(hung, addr)
		close(b.done)
	}()
	for end := time.Now().Add(30 * time.Second); !waits(kept); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the connect does not hang")
		}
	}
	b.drain()
	if errno := <-answered; errno == 0 || errno == unix.ETIMEDOUT {
		t.Errorf("it was not cut: %v", errno)
	}
}
