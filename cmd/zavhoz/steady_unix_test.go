//go:build unix

package main

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Sockets of one folder that are made at the same moment, as those of a daemon whose folder was emptied, are each at its own place, and answer.
func TestSocketsAreMadeAtOnce(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "zs") // short: a socket's path has 104 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for range 200 {
		paths, made := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}, make([]net.Listener, 2)
		var both sync.WaitGroup
		for i, path := range paths {
			both.Go(func() {
				l, err := listenUnix(path, 0o600, -1)
				if err != nil {
					t.Error(err)
					return
				}
				made[i] = l
			})
		}
		both.Wait()
		if t.Failed() {
			return
		}
		for i, path := range paths {
			theirs, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := theirs.Write([]byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
			ours, err := made[i].Accept()
			if err != nil {
				t.Fatal(err)
			}
			var b [1]byte
			if n, err := ours.Read(b[:]); n != 1 || int(b[0]) != i {
				t.Errorf("%d came to %d: %v", b[0], i, err)
			}
			_, _, _ = theirs.Close(), ours.Close(), made[i].Close()
		}
	}
}
