//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Many writers, many turns: every line of the files that are kept is whole, the last ones are all there, in order for each writer, and no file is longer or more open
// than it may be.
func TestLogIsBoundedAndLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	const most = 2000
	l, ok := newLogFile(path, f, most)
	if !ok {
		t.Fatal("its own file is not known")
	}
	var wg sync.WaitGroup
	const writers, lines = 4, 35 // 140 lines of 50 bytes: more than three files, no more than four
	for w := range writers {
		wg.Go(func() {
			for i := range lines {
				fmt.Fprintf(l, "writer %d line %04d %s\n", w, i, strings.Repeat("x", 30))
			}
		})
	}
	wg.Wait()
	var all []byte
	for _, name := range []string{path + ".3", path + ".2", path + ".1", path} {
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if st.Size() > most || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %d bytes, %v", filepath.Base(name), st.Size(), st.Mode())
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	next := [writers]int{}
	for line := range bytes.Lines(all) {
		var w, i int
		if n, err := fmt.Sscanf(string(line), "writer %d line %d", &w, &i); n != 2 || err != nil || len(line) != 50 {
			t.Fatalf("a line is not whole: %q", line)
		}
		if i != next[w] {
			t.Fatalf("writer %d: line %d after %d", w, i, next[w]-1)
		}
		next[w]++
	}
	if next != [writers]int{lines, lines, lines, lines} {
		t.Fatalf("lines that are there: %v", next)
	}
	for range 1000 {
		fmt.Fprintln(l, strings.Repeat("y", 100))
	}
	if names, _ := filepath.Glob(path + "*"); len(names) != keptLog+1 {
		t.Errorf("files: %v", names)
	}
}

// Where no new file can be made, the old one is written on.
func TestLogGoesOnWhereItCannotTurn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	l, _ := newLogFile(path, f, 100)
	fmt.Fprintln(l, strings.Repeat("a", 90))
	if err := os.Mkdir(path+".1", 0o700); err != nil { // nothing can be renamed to a folder
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".1/x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".2", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".2/x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".3", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".3/x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(l, strings.Repeat("b", 90))
	b, err := os.ReadFile(path)
	if err != nil || strings.Count(string(b), "\n") != 2 {
		t.Errorf("%q %v", b, err)
	}
	if _, ok := newLogFile(path+".other", f, 100); ok {
		t.Error("another file is taken for the log")
	}
}

// A daemon that a door started turns its own log, and one that nobody lives to turn is turned at the next start.
func TestAutostartedDaemonTurnsItsLog(t *testing.T) {
	p := initialised(t)
	p.stop()
	p.configure("level: info", "level: debug")
	filler := strings.Repeat("{}\n", (maxLog-300)/3)
	p.write("h/daemon.log", filler)
	d := p.open()
	d.greet()
	for range 20 {
		d.tool("get_status", map[string]any{}, nil)
	}
	p.stop()
	first, err := os.ReadFile(p.dir.Log() + ".1")
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(p.dir.Log())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(first, []byte(filler)) || len(first) > maxLog {
		t.Errorf("the first file has %d bytes", len(first))
	}
	both := string(first[len(filler):]) + string(second)
	for what, n := range map[string]int{`"msg":"serving"`: 1, `"tool":"get_status"`: 20, `"msg":"stopping"`: 1} {
		if got := strings.Count(both, what); got != n {
			t.Errorf("%s is there %d times, want %d", what, got, n)
		}
	}
	if !bytes.Contains(second, []byte("stopping")) {
		t.Errorf("the end is in the old file")
	}
	if st, err := os.Stat(p.dir.Log()); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st.Mode(), err)
	}

	p.write("h/daemon.log", filler+strings.Repeat("{}\n", 200))
	p.status()
	if st, err := os.Stat(p.dir.Log()); err != nil || st.Size() > 10_000 {
		t.Errorf("after a start with a long log it has %d bytes", st.Size())
	}
}
