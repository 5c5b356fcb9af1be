//go:build unix

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
)

// spellings are how a value could stand in bytes: as it is, in hex, in base64 at every alignment, reversed.
func spellings(value string) map[string]string {
	out := map[string]string{"raw": value, "hex": hex.EncodeToString([]byte(value)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(value)))}
	for pad := range 3 {
		text := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", pad) + value))
		text = text[4 : len(text)-4] // the ends depend on the neighbours
		out[fmt.Sprint("base64 +", pad)] = text
		out[fmt.Sprint("base64url +", pad)] = strings.NewReplacer("+", "-", "/", "_").Replace(text)
	}
	reversed := []byte(value)
	for i, j := 0, len(reversed)-1; i < j; i, j = i+1, j-1 {
		reversed[i], reversed[j] = reversed[j], reversed[i]
	}
	out["reversed"] = string(reversed)
	return out
}

// leastHex is how long hex is that is looked into: a bytea as pg_dump writes it, and whatever else is hex.
const leastHex = 32

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

// unhexed is what stands in b as hex, a line each. It looks at each 32nd byte alone where none is hex: the race detector makes a regular expression over a database's
// files a matter of minutes.
func unhexed(b []byte) []byte {
	var inner bytes.Buffer
	for i, past := leastHex-1, 0; i < len(b); i += leastHex {
		if !isHex(b[i]) {
			continue
		}
		from, to := i, i+1
		for from > past && isHex(b[from-1]) {
			from--
		}
		for to < len(b) && isHex(b[to]) {
			to++
		}
		if to-from >= leastHex {
			text, _ := hex.DecodeString(string(b[from : from+(to-from)/2*2]))
			inner.Write(text)
			inner.WriteByte('\n')
		}
		i, past = to, to
	}
	return inner.Bytes()
}

func TestWhatIsHexIsFound(t *testing.T) {
	for at := range 3 * leastHex {
		for _, more := range []int{0, 1, 40} {
			run := strings.Repeat("61", leastHex/2) + strings.Repeat("62", more)
			text := strings.Repeat("-", at) + run + "-" + strings.Repeat("63", 15) + "-" + strings.Repeat("64", 16)
			want := strings.Repeat("a", leastHex/2) + strings.Repeat("b", more) + "\n" + strings.Repeat("d", 16) + "\n"
			if got := string(unhexed([]byte(text))); got != want {
				t.Fatalf("at %d, and %d more: %q", at, more, got)
			}
		}
	}
}

// finds names the values that stand in b, or in what is hex there.
func finds(b, inner []byte, values map[string]string) (found []string) {
	for name, value := range values {
		for how, form := range spellings(value) {
			if bytes.Contains(b, []byte(form)) || bytes.Contains(inner, []byte(form)) {
				found = append(found, name+" "+how)
			}
		}
	}
	return found
}

// orchestrator is a program with a token that speaks to the API.
type orchestrator struct {
	t          *testing.T
	url, token string
	said       strings.Builder // all replies
	mu         sync.Mutex
}

func (o *orchestrator) ask(method, path, body string, header ...string) (status int, reply string) {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), method, o.url+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+o.token)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	if err != nil {
		o.t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Error(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Fprintln(&o.said, resp.Header, string(b))
	return resp.StatusCode, string(b)
}

func (o *orchestrator) ok(method, path, body string, header ...string) string {
	o.t.Helper()
	status, reply := o.ask(method, path, body, header...)
	if status >= 300 {
		o.t.Errorf("%s %s: %d %s", method, path, status, reply)
	}
	return reply
}

// TestTheDatabaseHoldsNoValue drives the API of a daemon over PostgreSQL with values planted in every place that takes one, and in those that do not, and looks for them in a dump of the database, in its
// files and write-ahead log, in what the server and the daemon logged, and in every reply. A text in clear that is meant to be there shows that each look sees.
func TestTheDatabaseHoldsNoValue(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	server.AdminExec(t, "postgres", "ALTER SYSTEM SET log_statement = 'all'")
	server.AdminExec(t, "postgres", "SELECT pg_reload_conf()")
	p := newPlace(t)
	p.env = append(p.env, "ADDRESS="+server.URL("sslmode=disable"))
	p.ok("init", "--store", "env:ADDRESS")
	var agent struct{ Token string }
	decode(t, p.ok("agent", "add", "orchestrator", "--role", "operator", "--scope", "read,write,admin", "--per-minute", "100000", "--json"), &agent)
	p.ok("stop")
	url, logged := p.listens()
	o := &orchestrator{t: t, url: url, token: agent.Token}

	const clear = "in-clear-7f3a91c2e4-and-meant-to-be"
	values := map[string]string{"the token": agent.Token[len("zvh_op_"):]}
	plant := func(name string) string {
		values[name] = "planted-" + strings.ReplaceAll(name, " ", "-") + "-" + hex.EncodeToString([]byte(name))[:8] + "-Zq9"
		return values[name]
	}
	o.ok("POST", "/projects", `{"slug":"bot","title":"`+clear+`"}`)
	at := "/projects/bot/config/secrets"
	for i := range 4 { // and so three are in the history
		o.ok("POST", at, `{"secrets":{"STRIPE_SECRET":"`+plant(fmt.Sprint("version ", i))+`"},"env_hints":{"STRIPE_SECRET":"`+clear+`"}}`)
	}
	o.ok("POST", at+"/STRIPE_SECRET/rollback", `{"version":1}`)
	o.ok("POST", at, `{"secrets":{"GONE":"`+plant("removed")+`"}}`)
	o.ok("DELETE", at+"/GONE", "")
	o.ok("POST", at, `{"secrets":{"OLD":"`+plant("purged")+`"}}`)
	o.ok("POST", at, `{"secrets":{"OLD":"`+plant("purging")+`"},"purge":true}`)
	bot := "123456789:AAF4nQzx7Lq0mYcVtR2sWbE8uKpJdH1oGiXvN"
	values["a bot's token"] = bot[10:]
	o.ok("POST", at, `{"secrets":{"TELEGRAM_BOT_TOKEN":"`+bot+`","LONG":"`+strings.Repeat(plant("long"), 1500)+`"}}`)
	var all sync.WaitGroup
	for i := range 24 {
		body := `{"secrets":{"P` + fmt.Sprint(i) + `":"` + plant(fmt.Sprint("parallel ", i)) + `"}}`
		all.Go(func() { o.ok("POST", at, body) })
	}
	all.Wait()
	o.ok("POST", "/resources", `{"kind":"generic","handle":"g","attrs":{"env":"G"},"secrets":{"value":"`+plant("resource")+`"},"why":"`+clear+`"}`)
	o.ok("POST", "/resources", `{"kind":"database","handle":"d","secrets":{"url":"postgres://app:`+plant("database")+`@db.example.org/shop"}}`)
	o.ok("POST", "/projects/bot/environment", `{"names":["DATABASE_URL","JWT_SECRET","STRIPE_SECRET","P1"]}`)
	for _, x := range [][]string{ // refused, whatever the reason: a value in the wrong place is repeated nowhere
		{"POST", at, `{"secrets":{"A":["` + plant("in a list") + `"]}}`},
		{"POST", at, `{"` + plant("as a key") + `":1}`},
		{"POST", at, `{"secrets":{"` + plant("as a name") + `":"x"}}`},
		{"POST", at, plant("as a body")},
		{"POST", at, `{"secrets":{"A":"` + plant("with a wrong version") + `"},"versions":{"A":7}}`},
		{"POST", at, `{"secrets":{"A":"` + plant("hinted at") + `"},"env_hints":{"A":"it is ` + values["hinted at"] + `"}}`},
		{"POST", at, `{"secrets":{"A":"` + plant("of nobody's project") + `"}}`, "projects"},
		{"GET", "/projects/" + plant("in a path"), ""},
		{"GET", "/projects?limit=" + plant("in a query"), ""},
		{"GET", "/" + plant("as a path"), ""},
		{"PATCH", "/projects/bot", `{"config":{"password":"sk_live_` + plant("in a config") + `"}}`},
		{"POST", "/projects/bot/environment", `{"names":["` + plant("as a variable") + `"]}`},
		{"POST", "/approvals/" + plant("as an approval"), `{"decision":"` + plant("as a decision") + `"}`},
	} {
		path := x[1]
		if len(x) > 3 {
			path = "/projects/none/config/secrets"
		}
		if status, reply := o.ask(x[0], path, x[2], "If-Match", `"`+plant("as a tag")+`"`); status < 400 || status > 499 {
			t.Errorf("%s %.60s: %d %s", x[0], path, status, reply)
		}
	}
	for _, path := range []string{"/resources", "/resources/g/history", "/projects/bot", at, at + "/keys", at + "/STRIPE_SECRET/history", "/approvals", "/audit?limit=500", "/audit/export", "/leases", "/runs", "/agents", "/status"} {
		o.ok("GET", path, "")
	}
	var environments struct {
		Items []struct{ Handle string }
	}
	decode(t, o.ok("GET", "/resources?kind=environment", ""), &environments)
	for _, line := range strings.Split(p.ok("run", environments.Items[0].Handle, "--open", "--", "sh", "-c", "echo $JWT_SECRET; echo $DATABASE_URL | sed 's/.*postgres:\\([^@]*\\)@.*/\\1/'"), "\n") { // what was generated is known to nobody else
		if len(line) > 30 {
			values["generated "+fmt.Sprint(len(values))] = strings.TrimSpace(line)
		}
	}
	if len(values) < 45 {
		t.Fatalf("%d values are planted", len(values))
	}
	look := func(what string, b []byte, seen ...string) {
		t.Helper()
		inner := unhexed(b)
		if found := finds(b, inner, values); len(found) > 0 {
			t.Errorf("%s holds %q", what, found)
		}
		for _, text := range seen {
			if len(finds(b, inner, map[string]string{"what is in clear": text})) == 0 {
				t.Errorf("the look at %s sees nothing: %d bytes", what, len(b))
			}
		}
	}
	look("a reply", []byte(o.said.String()), clear)
	look("the daemon's log", []byte(logged()), "serving")
	dump := exec.Command(server.Bin("pg_dump"), "--dbname", server.URL("sslmode=disable"))
	text, err := dump.Output()
	if err != nil {
		t.Fatal(err)
	}
	look("pg_dump", text, clear)
	server.AdminExec(t, "postgres", "CHECKPOINT")
	look("the write-ahead log", folder(t, filepath.Join(server.Data(), "pg_wal")), clear)
	look("the database's files", folder(t, filepath.Join(server.Data(), "base")), clear)
	look("the server's log", []byte(server.Log()), "INSERT")
	look("the home", folder(t, p.dir.Path()))
}

// folder gives all files below a path, one after the other.
func folder(t *testing.T, path string) []byte {
	t.Helper()
	var all bytes.Buffer
	err := filepath.WalkDir(path, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(name)
		all.Write(bytes.TrimRight(b, "\x00")) // a segment is written to its end in time
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.Bytes()
}
