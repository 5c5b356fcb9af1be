//go:build linux || darwin

package private_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox/private"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("ZAVHOZ_TEST_PRIVATE"); dir != "" { // a process that will be killed
		made, err := private.New(dir, false).Make("box-")
		if err != nil {
			panic(err)
		}
		_, _ = os.Stdout.WriteString(made + "\n")
		time.Sleep(time.Hour)
	}
	os.Exit(m.Run())
}

// another is a process with a folder of its own.
func another(t *testing.T, dir string) (made string, kill func()) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = []string{"ZAVHOZ_TEST_PRIVATE=" + dir}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() { _ = c.Process.Kill(); _ = c.Wait() }
	t.Cleanup(kill)
	b := make([]byte, 4096)
	n, err := out.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b[:n])), kill
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestWhatAKilledProcessLeftIsSwept(t *testing.T) {
	dir := t.TempDir()
	mine := private.New(dir, true)
	own, err := mine.Make("box-")
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(filepath.Dir(own)); err != nil || st.Mode().Perm() != 0o711 || !mine.Within(own) || mine.Within(dir) {
		t.Errorf("%v %v", st, err)
	}
	killed, kill := another(t, dir)
	living, _ := another(t, dir)
	kill()
	// what a command can make of its folders: no rights (overlayfs makes work/work like that), and more depth than there are descriptors
	for _, p := range []string{"layer1/work/work", "home/a/b"} {
		if err := os.MkdirAll(filepath.Join(killed, p), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(killed, "home/a/b/file"), nil, 0); err != nil {
		t.Fatal(err)
	}
	deep(t, killed, 3000)
	for _, p := range []string{"layer1/work/work", "home/a/b", "home/a"} {
		if err := os.Chmod(filepath.Join(killed, p), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := private.Sweep(dir); err != nil {
		t.Error(err)
	}
	want := []string{filepath.Base(filepath.Dir(own)), filepath.Base(filepath.Dir(living))}
	slices.Sort(want)
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if err := mine.Close(); err != nil {
		t.Error(err)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("after Close: %v", got)
	}
	if _, err := mine.Make("box-"); err != nil {
		t.Error(err)
	}
	if err := mine.Close(); err != nil {
		t.Error(err)
	}
}

// deep makes folders in each other.
func deep(t *testing.T, dir string, n int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	for range n {
		if err != nil {
			t.Fatal(err)
		}
		if err = unix.Mkdirat(fd, "deep", 0o700); err != nil {
			t.Fatal(err)
		}
		below, operr := unix.Openat(fd, "deep", unix.O_DIRECTORY|unix.O_RDONLY, 0)
		_ = unix.Close(fd)
		fd, err = below, operr
	}
	_ = unix.Close(fd)
}

// Whoever may write to the folder for temporary files puts there what has our name.
func TestASweepLeavesWhatOthersPutThere(t *testing.T) {
	dir, precious := t.TempDir(), t.TempDir()
	file := filepath.Join(precious, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	const ours = "zavhoz-private-"
	if err := os.Symlink(precious, filepath.Join(dir, ours+"link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ours+"file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, ours+"pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "zavhoz-other"), 0o700); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, ours+"left")
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(precious, filepath.Join(left, "link")); err != nil { // removed, not followed
		t.Fatal(err)
	}
	want := []string{"zavhoz-other", ours + "file", ours + "link", ours + "pipe"}
	if os.Geteuid() == 0 {
		if err := os.Mkdir(filepath.Join(dir, ours+"theirs"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(dir, ours+"theirs"), 65534, 65534); err != nil {
			t.Fatal(err)
		}
		want = append(want, ours+"theirs")
	}
	if err := private.Sweep(dir); err != nil {
		t.Error(err)
	}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestRemovingWhatIsNotThere(t *testing.T) {
	if err := private.Remove(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Error(err)
	}
}
