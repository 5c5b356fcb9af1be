package sandbox_test

import (
	"fmt"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox"
)

const meeting = 0x5a41 // the key that two runs agree upon

func init() {
	children["child:leave"] = func([]string) {
		id, err := unix.SysvShmGet(meeting, 4096, unix.IPC_CREAT|0o666)
		if err == nil {
			var b []byte
			if b, err = unix.SysvShmAttach(id, 0, 0); err == nil {
				copy(b, "left")
			}
		}
		say("shm", err)
		say("mqueue", openQueue(unix.O_CREAT|unix.O_RDWR))
		say("file", os.WriteFile("/dev/shm/zavhoz-meeting", []byte("left"), 0o666))
	}
	children["child:fetch"] = func([]string) {
		id, err := unix.SysvShmGet(meeting, 4096, 0)
		if err == nil {
			var b []byte
			if b, err = unix.SysvShmAttach(id, 0, 0); err == nil && string(b[:4]) != "left" {
				err = fmt.Errorf("nothing left")
			}
			_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
		}
		say("shm", err)
		say("mqueue", openQueue(unix.O_RDWR))
		_, err = os.ReadFile("/dev/shm/zavhoz-meeting")
		say("file", err)
	}
}

func openQueue(flags int) error {
	name := []byte("zavhoz-meeting\x00")
	fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(&name[0])), uintptr(flags), 0o666, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return unix.Close(int(fd))
}

// Two runs that meet in shared memory or a message queue. Sealed: each has its own. Basic: System V's memory is shared,
// which the table says; queues and files in /dev/shm are out of reach there, too.
func TestAttack30_NoRendezvousInSharedMemory(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		other := newBox(t, newSandbox(t, sandbox.Options{}), b.Level())
		p, out := start(t, other, childSpec(t, "child:leave"))
		p.Wait()
		left := out.String()
		fetched := child(t, b, nil, "child:fetch")
		if b.Named() {
			expect(t, left, map[string]string{"file": "ok"})
			expect(t, fetched, map[string]string{"shm": "", "mqueue": "", "file": ""})
			return
		}
		expect(t, left, map[string]string{"mqueue": "", "file": ""})
		expect(t, fetched, map[string]string{"mqueue": "", "file": "", "shm": "ok"}) // what is lost
	})
}
