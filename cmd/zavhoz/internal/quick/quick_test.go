package quick

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/web/api"
)

func TestCommand(t *testing.T) {
	for _, c := range []struct {
		line    string
		handles string
		argv    string
		ok      bool
	}{
		{"zavhoz run a --open -- true", "a", "true", true},
		{"zavhoz run --open a b -- sh -c x --json", "a b", "sh -c x --json", true},
		{"zavhoz run a --open -- -- x", "a", "-- x", true},
		{"zavhoz run a -- true", "", "", false},
		{"zavhoz run a --open true", "", "", false},
		{"zavhoz run a --open --", "", "", false},
		{"zavhoz run --open -- true", "", "", false},
		{"zavhoz run a --open --tty -- true", "", "", false},
		{"zavhoz run a --open=true -- true", "", "", false},
		{"zavhoz run a --json --open -- true", "", "", false},
		{"zavhoz run a -h --open -- true", "", "", false},
		{"zavhoz --home x run a --open -- true", "", "", false},
		{"zavhoz runs a --open -- true", "", "", false},
		{"zavhoz", "", "", false},
		{"", "", "", false},
	} {
		handles, argv, ok := command(strings.Fields(c.line))
		if ok != c.ok || ok && (strings.Join(handles, " ") != c.handles || strings.Join(argv, " ") != c.argv) {
			t.Errorf("%s: %q, %q, %v", c.line, handles, argv, ok)
		}
	}
	if _, _, ok := command([]string{"zavhoz", "run", "", "--open", "--", "true"}); ok {
		t.Error("an empty handle is taken")
	}
}

func TestSocketAgreesWithHome(t *testing.T) {
	for _, env := range []map[string]string{
		{"ZAVHOZ_HOME": "/srv/zavhoz"},
		{"ZAVHOZ_HOME": "relative/home"},
		{"ZAVHOZ_HOME": "/srv//x/../zavhoz/"},
		{"ZAVHOZ_HOME": "/" + strings.Repeat("long/", 30)},
		{"ZAVHOZ_HOME": "/" + strings.Repeat("x", 100-len("/run/operator.sock")-1)},
		{"ZAVHOZ_HOME": "/" + strings.Repeat("x", 100-len("/run/operator.sock"))},
		{"HOME": "/home/me"},
		{"HOME": "/home/me", "XDG_DATA_HOME": "/data"},
		{"HOME": "/home/me", "XDG_DATA_HOME": "data"},
		{"HOME": "/home/" + strings.Repeat("m", 90)},
		{"HOME": "me"},
		{},
	} {
		getenv := func(name string) string { return env[name] }
		got, ok := socket(getenv)
		dir, err := home.Locate(getenv)
		switch {
		case err != nil && ok:
			t.Errorf("%v: %s, but home says %v", env, got, err)
		case err == nil && got != dir.OperatorSock():
			t.Errorf("%v: %s, but home says %s", env, got, dir.OperatorSock())
		}
	}
}

func FuzzOpenRequest(f *testing.F) {
	for _, s := range []string{"", "plain", `"quoted" \ and`, "line\nend\x00\x1f\x7f", "\xff\xfe broken", "žluťoučký \U0001f40e", "\u2028</script>"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, handle, arg string) {
		b := openRequest([]string{handle}, []string{arg, arg})
		var got, want api.OpenRun
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		plain, err := json.Marshal(api.OpenRun{Refs: []string{handle}, Command: []string{arg, arg}})
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(plain, &want); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Refs, want.Refs) || !slices.Equal(got.Command, want.Command) {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

func TestEndIsTheAPIs(t *testing.T) {
	for _, e := range []End{{ExitCode: 7, Redactions: 2, OutBytes: 1 << 40}, {Failed: true, ExitCode: 125}} {
		dec := json.NewDecoder(bytes.NewReader(e.json()))
		dec.DisallowUnknownFields()
		var got api.EndRun
		if err := dec.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.ExitCode != e.ExitCode || got.Redactions != e.Redactions || got.OutBytes != e.OutBytes || (got.State == "failed") != e.Failed {
			t.Errorf("%+v became %+v", e, got)
		}
	}
}

func FuzzHead(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\n\r\nabc")
	f.Add("HTTP/1.1 403 Forbidden\r\ncontent-length:12\r\n\r\n")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n")
	f.Add(strings.Repeat("a", maxHead+1))
	f.Fuzz(func(t *testing.T, answer string) {
		c := &conn{r: bufio.NewReaderSize(strings.NewReader(answer), maxHead)}
		status, length, err := c.head()
		if err == nil && (length < 0 || length > maxBody || status < -99 || status > 999) {
			t.Fatalf("status %d, length %d", status, length)
		}
		if err == nil && !strings.Contains(answer, "\n") {
			t.Fatal("an answer without an end of its head is taken")
		}
	})
}

func TestOwnEnvDropsOurToken(t *testing.T) {
	got := ownEnv([]string{"A=1", "ZAVHOZ_AGENT_TOKEN=zvh_agt_x", "ZAVHOZ_AGENT_TOKEN=", "ZAVHOZ_AGENT_TOKENS=2", "=odd", ""})
	if want := []string{"A=1", "ZAVHOZ_AGENT_TOKENS=2", "=odd", ""}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestQuickIsEarly reads the order in which the runtime initialises the packages of the whole program: whatever takes long comes after this one.
func TestQuickIsEarly(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "zavhoz")
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", bin, "github.com/zavhoz/zavhoz/cmd/zavhoz")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the product is built
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := exec.Command(bin, "--version")
	c.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	trace, err := c.CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	before, spent := true, 0
	for line := range strings.Lines(string(trace)) {
		f := strings.Fields(line)
		if len(f) < 8 || f[0] != "init" {
			continue
		}
		if strings.HasSuffix(f[1], "/internal/quick") {
			before = false
		}
		heap, err := strconv.Atoi(f[7]) // init NAME @T ms, N ms clock, BYTES bytes, …
		if err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if before {
			spent += heap
			for _, late := range []string{"regexp", "net", "net/http", "github.com/santhosh-tekuri/", "github.com/zavhoz/zavhoz/vault/kind"} {
				if f[1] == late || strings.HasSuffix(late, "/") && strings.HasPrefix(f[1], late) {
					t.Errorf("%s is initialised before a person's own run", f[1])
				}
			}
		}
	}
	if before {
		t.Fatalf("quick is not in the trace:\n%s", trace)
	}
	if spent > 256<<10 { // what initialisation allocates is the measure of its work that does not depend on the machine
		t.Errorf("packages before a person's own run allocate %d bytes", spent)
	}
}
