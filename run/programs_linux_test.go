package run_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/vault"
)

// Programs that know nothing of zavhoz reach their API with a placeholder, and the API sees the true key.
func TestProgramsUseAPlaceholder(t *testing.T) {
	eachUser(t, func(t *testing.T) {
		u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "proto=%s key=%s\n", r.Proto, r.Header.Get("Authorization"))
		})
		h, e := realHouse(t, nil)
		h.acme(u)
		for name, argv := range map[string][]string{
			"curl":            {"curl", "-sS", "--http1.1", "-H", "Authorization: Bearer $ACME_KEY", u.url("/v1/x")},
			"curl over h2":    {"curl", "-sS", "--http2", "-H", "Authorization: Bearer $ACME_KEY", u.url("/v1/x")},
			"curl by name":    {"curl", "-sS", "--noproxy", "*", "-H", "Authorization: Bearer $ACME_KEY", u.url("/v1/x")},
			"python urllib":   {"python3", "-c", `import os,urllib.request as r;print(r.urlopen(r.Request("` + u.url("/v1/x") + `",headers={"Authorization":"Bearer "+os.environ["ACME_KEY"]})).read().decode())`},
			"python requests": {"python3", "-c", `import os,requests;print(requests.get("` + u.url("/v1/x") + `",headers={"Authorization":"Bearer "+os.environ["ACME_KEY"]}).text)`},
			"node fetch":      {"node", "-e", `fetch("` + u.url("/v1/x") + `",{headers:{Authorization:"Bearer "+process.env.ACME_KEY}}).then(r=>r.text()).then(console.log,e=>{console.error(e);process.exit(1)})`},
		} {
			t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
				if _, err := exec.LookPath(argv[0]); err != nil {
					t.Fatalf("testdata/needs/install brings it: %v", err)
				}
				command := argv
				if argv[0] == "curl" { // the only one that does not read the environment by itself
					command = []string{"sh", "-c", `exec "$@"`, "sh"}
					command = append(command, argv...)
					command[2] = "exec " + shellWords(argv)
					command = command[:3]
				}
				res := mustRun(t, e, run.Request{Actor: alice, Refs: []string{"acme"}, Command: command, Timeout: 30 * time.Second})
				clean(t, res, acmeKey)
				if res.ExitCode != 0 || !strings.Contains(res.Stdout, "key=Bearer ") || res.Delivered["acme"] != "broker" {
					t.Fatalf("%+v", res)
				}
				if res.State != vault.RunExited || !u.saw("Authorization", "Bearer "+acmeKey) {
					t.Fatalf("the API did not see the key: %+v", res)
				}
				if name == "curl over h2" && !strings.Contains(res.Stdout, "HTTP/") {
					t.Fatal(res.Stdout)
				}
			})
		}
	})
}

// shellWords quotes argv for sh, with variables left to it.
func shellWords(argv []string) string {
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = `"` + strings.ReplaceAll(a, `"`, `\"`) + `"`
	}
	return strings.Join(out, " ")
}
