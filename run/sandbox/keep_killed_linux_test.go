package sandbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/sandbox"
)

func init() { children["keep"] = keepChild }

// keepChild keeps what a file says, until it is killed.
func keepChild(args []string) {
	b, err := os.ReadFile(args[0])
	w := &shelved{}
	if err = errors.Join(err, json.Unmarshal(b, w)); err == nil {
		w.S, err = sandbox.New(sandbox.Options{})
	}
	if err == nil {
		fmt.Println("ready")
		var at []sandbox.Conflict
		if at, err = w.layers().Keep("t", w.Changes, false); err == nil && len(at) > 0 {
			err = fmt.Errorf("conflicts: %v", at)
		}
	}
	if err != nil {
		fmt.Println(err, errors.Unwrap(err))
		os.Exit(1)
	}
}

// Killed at any moment, a keep has left every file old or new, and the next one finishes the work without being forced.
func TestAKilledKeepLeavesEachFileOldOrNew(t *testing.T) {
	both(t, func(t *testing.T) {
		dir := folder(t)
		const files, size = 90, 48 << 10
		was, now := strings.Repeat("o", size), strings.Repeat("n", size)
		for i := range files {
			p := fmt.Sprintf("%s/f%d", dir, i)
			err := os.WriteFile(p, []byte(was), 0o644)
			if os.Geteuid() == 0 {
				err = errors.Join(err, os.Chown(p, 4321, 4321))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		w := beside(t, dir, fmt.Sprintf(`i=0; while [ $i -lt %d ]; do case $((i %% 3)) in 0) rm f$i;; *) head -c %d /dev/zero | tr '\0' n >f$i;; esac; head -c %d /dev/zero | tr '\0' n >a$i; i=$((i+1)); done; rm -r sub`, files, size, size))
		text, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		list := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(list, text, 0o600); err != nil {
			t.Fatal(err)
		}
		kills := 0
		for round := 0; ; round++ {
			c := exec.Command(program, "keep", list)
			out, err := c.StdoutPipe()
			if err == nil {
				err = c.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := out.Read(make([]byte, 64)); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- c.Wait() }()
			for at := kept(t, dir); err == nil && len(ended) == 0 && round < 12 && kept(t, dir) < at+4; {
				time.Sleep(50 * time.Microsecond)
			}
			killed := round < 12 && c.Process.Kill() == nil
			err = <-ended
			for p, text := range everyFile(t, dir) {
				if !strings.HasPrefix(filepath.Base(p), ".zavhoz-") && p != "sub" && text != was && text != now && p != "old" && p != "sub/deep" {
					t.Fatalf("%s is neither old nor new: %d bytes", p, len(text))
				}
			}
			if err == nil {
				break
			}
			if kills++; !killed {
				t.Fatal(err)
			}
		}
		all := everyFile(t, dir)
		t.Logf("killed %d times", kills)
		for i := range files {
			if f, there := all[fmt.Sprintf("f%d", i)]; there != (i%3 != 0) || there && f != now || all[fmt.Sprintf("a%d", i)] != now {
				t.Errorf("f%d: %v %d bytes", i, there, len(f))
			}
		}
		if _, there := all["sub"]; there || kills == 0 {
			t.Errorf("killed %d times, sub %v", kills, there)
		}
		for p := range all {
			if strings.Contains(p, ".zavhoz-") {
				t.Errorf("%s is left", p)
			}
		}
	})
}

// kept counts the files that a keep has made so far.
func kept(t *testing.T, dir string) int {
	t.Helper()
	names, err := filepath.Glob(dir + "/a*")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}
