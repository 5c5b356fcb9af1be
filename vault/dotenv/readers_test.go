package dotenv_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	compose "github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/joho/godotenv"

	"github.com/zavhoz/zavhoz/vault/dotenv"
)

// real are the readers themselves: what each makes of a file.
var real = map[dotenv.Reader]func(t *testing.T, file string, names []string) map[string]string{
	dotenv.Bash:    readByBash,
	dotenv.Compose: readByCompose,
	dotenv.Python:  readByPython,
	dotenv.Go:      readByGo,
}

func readByBash(t *testing.T, file string, names []string) map[string]string {
	return readByShell(t, "bash", file, names)
}

func readByShell(t *testing.T, shell, file string, names []string) map[string]string {
	t.Helper()
	cmd := exec.Command(shell, "-c", `set -a; . "$0" || exit 9; exec env -0`, file)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", shell, err)
	}
	all := map[string]string{}
	for _, kv := range strings.Split(string(out), "\x00") {
		if name, value, ok := strings.Cut(kv, "="); ok {
			all[name] = value
		}
	}
	got := map[string]string{}
	for _, n := range names {
		if v, ok := all[n]; ok {
			got[n] = v
		}
	}
	return got
}

func readByCompose(t *testing.T, file string, _ []string) map[string]string {
	t.Helper()
	// As the program does: variables of the caller's own may be interpolated.
	got, err := compose.GetEnvFromFile(map[string]string{"V0": "from outside", "x": "from outside"}, []string{file})
	if err != nil {
		t.Fatalf("compose: %v", err)
	}
	return got
}

func readByGo(t *testing.T, file string, _ []string) map[string]string {
	t.Helper()
	got, err := godotenv.Read(file)
	if err != nil {
		t.Fatalf("godotenv: %v", err)
	}
	return got
}

// python is the system's, which has python-dotenv as a package (testdata/needs).
func readByPython(t *testing.T, file string, _ []string) map[string]string {
	t.Helper()
	python := "/usr/bin/python3"
	if own := os.Getenv("ZAVHOZ_TEST_PYTHON"); own != "" { // another version of python-dotenv
		python = own
	}
	cmd := exec.Command(python, "-c", "import sys, json, dotenv\njson.dump(dotenv.dotenv_values(sys.argv[1]), sys.stdout)", file)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "V0=from outside", "LC_ALL=C.UTF-8"}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("python: %v %s", err, errs.Bytes())
	}
	got := map[string]string{}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// agrees writes what can be written for the reader, has it read, and gives how many values it refused.
func agrees(t *testing.T, reader dotenv.Reader, values []string) (refused int) {
	t.Helper()
	want, names := map[string]string{}, []string{}
	var pairs []dotenv.Pair
	for i, v := range values {
		name := fmt.Sprintf("V%d", i)
		if _, err := write(reader, pair(name, v)); err != nil {
			refused++
			continue
		}
		want[name], names, pairs = v, append(names, name), append(pairs, pair(name, v))
	}
	text, err := write(reader, pairs...)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := real[reader](t, file, names)
	for name, v := range want {
		if got[name] != v {
			t.Errorf("%s reads %q as %q", reader, v, got[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s has %d variables of %d", reader, len(got), len(want))
	}
	return refused
}

// Whatever is written is read back by the real reader, byte for byte, and nothing else is; and little is refused.
func TestRealReadersAgree(t *testing.T) {
	rounds := 4
	if os.Getenv("ZAVHOZ_LONG") != "" {
		rounds = 100
	}
	for _, reader := range dotenv.Readers() {
		t.Run(string(reader), func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, 11))
			refused, all := 0, 0
			for range rounds {
				values := make([]string, 500)
				for i := range values {
					values[i] = randomValue(r)
				}
				all += len(values)
				refused += agrees(t, reader, values)
			}
			t.Logf("%d of %d refused", refused, all)
			if limit := map[dotenv.Reader]int{dotenv.Bash: 0, dotenv.Compose: 0, dotenv.Python: 20, dotenv.Go: 20}[reader]; refused*100 > limit*all {
				t.Errorf("%d of %d values are refused", refused, all)
			}
		})
	}
}

// What people have: none of it is refused.
func TestUsualValuesAreWritten(t *testing.T) {
	usual := []string{"", "plain", "two words", "postgresql://app:p%40ss@db:5432/app?sslmode=require", "a=b", `{"type":"service_account","key":"-----BEGIN PRIVATE KEY-----\nMIIE\n"}`,
		"-----BEGIN KEY-----\nAAAA\nBBBB\n-----END KEY-----\n", "pa$$word", "$ecret", "p#ss", "it's", `say "hi"`, `C:\dir\file`, "пароль", "base64==", "true", "0042", "*", "~", "a\tb", " padded "}
	for _, reader := range dotenv.Readers() {
		if n := agrees(t, reader, usual); n != 0 {
			t.Errorf("%s: %d usual values are refused", reader, n)
		}
	}
}

// What is written for bash any POSIX shell reads.
func TestPlainShellAgrees(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	want, names := map[string]string{}, []string{}
	var pairs []dotenv.Pair
	for i := range 500 {
		name, v := fmt.Sprintf("V%d", i), randomValue(r)+string([]byte{byte(1 + r.IntN(255))})
		want[name], names, pairs = v, append(names, name), append(pairs, pair(name, v))
	}
	text, err := write(dotenv.Bash, pairs...)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, shell := range []string{"sh", "bash"} {
		if got := readByShell(t, shell, file, names); !maps.Equal(got, want) {
			t.Errorf("%s differs", shell)
		}
	}
}

// FuzzWrite looks for a value that a real reader reads otherwise. Python is left to the random test: starting it for each value would find less.
func FuzzWrite(f *testing.F) {
	for _, p := range pieces {
		f.Add(p, "x"+p+p)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, reader := range []dotenv.Reader{dotenv.Compose, dotenv.Go, dotenv.Bash} {
			agrees(t, reader, []string{a, b, a + b})
		}
		for _, way := range []dotenv.Reader{dotenv.Bash, dotenv.Compose} { // these carry every text
			if _, err := write(way, pair("A", a)); err != nil && utf8.ValidString(a) && !strings.Contains(a, "\x00") && len(a) <= dotenv.MaxValue {
				t.Errorf("%s refuses %q: %v", way, a, err)
			}
		}
	})
}
