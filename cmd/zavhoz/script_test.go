//go:build unix

package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zavhoz/zavhoz/vault/home"
)

// TestScripts plays testdata/script: what a person types, and what comes. They are meant to be read.
//
// Beyond testscript's own commands there are:
//
//	code N COMMAND…     runs a command, which must end with exit code N
//	field PATH VALUE    a field of the JSON that was just printed (stdout); items.0.handle reaches into lists, "-" says that there is no such field
//	keep NAME PATH      puts such a field into the environment
//	snapshot            remembers every byte of the home folder
//	doctor [--json]     runs zavhoz doctor on an installation that is sound: only the isolation may be wanting, and then the exit code says so
//	unchanged           fails where a byte of it has changed since
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               setupScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": scriptCode, "field": scriptField, "keep": scriptKeep, "snapshot": scriptSnapshot, "unchanged": scriptUnchanged, "edit": scriptEdit, "doctor": scriptDoctor,
		},
	})
}

// setupScript gives each script a home of its own, with a path short enough for sockets; its daemon ends with the script.
func setupScript(e *testscript.Env) error {
	root, err := os.MkdirTemp("", "zs")
	if err != nil {
		return err
	}
	dir, err := home.At(filepath.Join(root, "h"))
	if err != nil {
		return err
	}
	e.Setenv("ZAVHOZ_HOME", dir.Path())
	t := e.T().(testing.TB)
	if strings.HasSuffix(t.Name(), "/export") || strings.HasSuffix(t.Name(), "/sops_live") {
		if err := sopsForScripts(e, root); err != nil {
			return err
		}
	}
	if strings.HasSuffix(t.Name(), "/postgres") {
		if err := databaseForScripts(e, root); err != nil {
			return err
		}
	}
	e.Defer(func() {
		c := exec.Command("zavhoz", "stop", "--discard", "--home", dir.Path())
		c.Env = cleanEnv()
		var exit *exec.ExitError
		if out, err := c.CombinedOutput(); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 6) {
			t.Errorf("zavhoz stop: %v\n%s", err, out)
		}
		soundLog(t, dir)
		_ = os.RemoveAll(root)
	})
	return nil
}

func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	ts.Logf("[stdout]\n%s[stderr]\n%s", ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// lookup finds a field of the JSON on stdout.
func lookup(ts *testscript.TestScript, where string) (string, bool) {
	var v any
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		ts.Fatalf("standard output is not JSON: %v", err)
	}
	if dec.More() {
		ts.Fatalf("standard output holds more than one JSON value")
	}
	for _, step := range strings.Split(where, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(x) {
				return "", false
			}
			v = x[i]
		default:
			return "", false
		}
	}
	return fmt.Sprint(v), v != nil
}

func scriptField(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: field PATH VALUE")
	}
	got, ok := lookup(ts, args[0])
	if !ok {
		got = "-"
	}
	if (got == args[1]) == neg {
		ts.Fatalf("%s is %q, want %q (negated: %v)", args[0], got, args[1], neg)
	}
}

func scriptKeep(ts *testscript.TestScript, _ bool, args []string) {
	got, ok := lookup(ts, args[1])
	if !ok {
		ts.Fatalf("there is no %s", args[1])
	}
	ts.Setenv(args[0], got)
}

// homeBytes is every file below the home with the hash of what it holds.
func homeBytes(ts *testscript.TestScript) string {
	var all strings.Builder
	root := ts.Getenv("ZAVHOZ_HOME")
	ts.Check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&all, "%s %v", path, info.Mode())
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&all, " %x", sha256.Sum256(b))
		}
		all.WriteByte('\n')
		return nil
	}))
	return all.String()
}

func scriptSnapshot(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Setenv("SNAPSHOT", homeBytes(ts))
}

func scriptUnchanged(ts *testscript.TestScript, _ bool, _ []string) {
	if was, is := ts.Getenv("SNAPSHOT"), homeBytes(ts); was != is {
		ts.Fatalf("the home has changed:\nbefore:\n%s\nafter:\n%s", was, is)
	}
}

// scriptEdit replaces the first occurrence of a text in a file: edit FILE OLD NEW.
func scriptEdit(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: edit FILE OLD NEW")
	}
	file := ts.MkAbs(args[0])
	b, err := os.ReadFile(file)
	ts.Check(err)
	if !strings.Contains(string(b), args[1]) {
		ts.Fatalf("%s holds no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(file, []byte(strings.Replace(string(b), args[1], args[2], 1)), 0o600))
}
