package run_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// goClient is this test's own binary as a Go program that asks an API, and knows nothing of proxies or authorities.
func goClient(url string) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("ACME_KEY"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = io.Copy(os.Stdout, resp.Body)
	os.Exit(0)
}

// Programs that know nothing of zavhoz reach their API with a placeholder, and the API sees the true key.
func TestProgramsUseAPlaceholder(t *testing.T) {
	eachUser(t, func(t *testing.T) {
		u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "proto=%s key=%s\n", r.Proto, r.Header.Get("Authorization"))
		})
		tools := t.TempDir()
		if err := copyFile(filepath.Join(tools, "client"), "/proc/self/exe"); err != nil {
			t.Fatal(err)
		}
		h, e := realHouse(t, func(o *run.Options) {
			o.Workdirs = func(context.Context, vault.Actor, string, string) ([]sandbox.Workdir, error) {
				return []sandbox.Workdir{{Path: tools, Mode: sandbox.ReadOnly}}, nil
			}
		})
		h.acme(u)
		const python, header = "/usr/bin/python3", `{"Authorization":"Bearer "+os.environ["ACME_KEY"]}`
		shell := func(line string) []string { return []string{"sh", "-c", line} }
		curl := func(flags string) []string {
			return shell(`curl -sS ` + flags + ` -H "Authorization: Bearer $ACME_KEY" ` + u.url("/v1/x"))
		}
		for _, c := range []struct {
			name, want string
			argv       []string
			env        map[string]string
		}{
			{"curl", "proto=HTTP/1.1", curl("--http1.1"), nil},
			{"curl over h2", "proto=HTTP/2.0", curl("--http2"), nil},
			{"curl by name", "key=Bearer", curl("--noproxy '*'"), nil},
			{"wget", "key=Bearer", shell(`wget -qO- --header "Authorization: Bearer $ACME_KEY" ` + u.url("/v1/x")), nil},
			{"python urllib", "key=Bearer", []string{python, "-c", `import os,urllib.request as r;print(r.urlopen(r.Request("` + u.url("/v1/x") + `",headers=` + header + `)).read().decode())`}, nil},
			{"python requests", "key=Bearer", []string{python, "-c", `import os,requests;print(requests.get("` + u.url("/v1/x") + `",headers=` + header + `).text)`}, nil},
			{"python httpx", "key=Bearer", []string{python, "-c", `import os,httpx;print(httpx.get("` + u.url("/v1/x") + `",headers=` + header + `).text)`}, nil},
			{"python aiohttp", "key=Bearer", []string{python, "-c", "import os,asyncio,aiohttp\nasync def f():\n async with aiohttp.ClientSession(trust_env=True) as s:\n  async with s.get('" +
				u.url("/v1/x") + "',headers=" + header + ") as r: print(await r.text())\nasyncio.run(f())"}, nil},
			{"node fetch", "key=Bearer", []string{"node", "-e", `fetch("` + u.url("/v1/x") + `",{headers:{Authorization:"Bearer "+process.env.ACME_KEY}}).then(r=>r.text()).then(console.log,e=>{console.error(e);process.exit(1)})`}, nil},
			{"go", "key=Bearer", []string{filepath.Join(tools, "client")}, map[string]string{"GO_CLIENT_URL": u.url("/v1/x"), "GORACE": hasty}},
		} {
			t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
				r := run.Request{Actor: alice, Refs: []string{"acme"}, Command: c.argv, Env: c.env, Timeout: 60 * time.Second}
				if c.env != nil {
					r.Cwd = tools
				}
				before := u.count()
				res := mustRun(t, e, r)
				clean(t, res, acmeKey)
				if res.ExitCode != 0 || !strings.Contains(res.Stdout, c.want) || res.Delivered["acme"] != "broker" || res.State != vault.RunExited {
					t.Fatalf("%+v", res)
				}
				if seen := u.since(before); len(seen) != 1 || seen[0].Get("Authorization") != "Bearer "+acmeKey {
					t.Fatalf("the API saw %d requests, and not the key: %+v", len(seen), res)
				}
			})
		}
	})
}

// What gh does, with a GitHub token that is none: REST calls with either form of the header, to the hosts and paths of the catalogue.
func TestGitHubAsGhCallsIt(t *testing.T) {
	eachUser(t, func(t *testing.T) {
		const pat = "ghp_canaryAa0123456789canaryAa0123456789"
		u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, `{"method":%q,"path":%q,"body":%q}`, r.Method, r.URL.Path, body)
		})
		h, e := realHouse(t, nil)
		h.keep("api_key", "github_main", map[string]string{"service": "github"}, map[string]string{"key": pat}, policy.Policy{
			Private: true, UpstreamCA: u.ca, Resolve: []string{"api.github.com=127.0.0.1"}, Hosts: []policy.HostRule{{Host: "api.github.com", Port: u.port}},
		})
		base := strings.Replace(u.url(""), upstreamHost, "api.github.com", 1)
		script := `
curl -sS -H "Authorization: token $GITHUB_TOKEN" -H "Accept: application/vnd.github+json" ` + base + `/repos/acme/shop
curl -sS -X POST -H "Authorization: Bearer $GH_TOKEN" -d '{"title":"it broke"}' ` + base + `/repos/acme/shop/issues
curl -sS -X POST -H "Authorization: Bearer $GH_TOKEN" -d '{"key":"x"}' ` + base + `/user/keys
case $GITHUB_TOKEN in ghp_????????????????????????????????????) echo shaped;; esac`
		res := mustRun(t, e, run.Request{Actor: alice, Refs: []string{"github_main"}, Command: []string{"sh", "-c", script}, Timeout: time.Minute})
		clean(t, res, pat)
		for _, want := range []string{`"path":"/repos/acme/shop"`, `"path":"/repos/acme/shop/issues"`, `"request_not_allowed"`, "shaped"} {
			if !strings.Contains(res.Stdout, want) {
				t.Fatalf("no %s: %+v", want, res)
			}
		}
		if !u.saw("Authorization", "token "+pat) || !u.saw("Authorization", "Bearer "+pat) || u.count() != 2 {
			t.Fatalf("GitHub saw %d requests", u.count())
		}
		if len(res.Denials) != 1 || !strings.Contains(res.Denials[0].Where, "POST") || res.Denials[0].Code != "request_not_allowed" {
			t.Fatalf("%+v", res.Denials)
		}
	})
}
