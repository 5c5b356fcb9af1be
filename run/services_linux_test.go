package run_test

import (
	"encoding/json"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// known are the real servers of a test, as the ordinary user's half of it is told of them: they were started by the half that runs as root.
type known struct {
	SSHPort         int
	SSHUser         string
	SSHKey, HostKey string
	Database        string // URL
	Password        string
	Folder          string // a folder of the server's user
}

const knownVar = "ZAVHOZ_TEST_SERVERS"

// servers starts an sshd and a PostgreSQL, or is told of them.
func servers(t *testing.T) (k known) {
	t.Helper()
	if told := os.Getenv(knownVar); told != "" {
		if err := json.Unmarshal([]byte(told), &k); err != nil {
			t.Fatal(err)
		}
		return k
	}
	s, p := sshtest.Start(t, sshtest.Options{}), postgrestest.Start(t)
	k = known{SSHPort: s.Port, SSHUser: s.User, SSHKey: string(s.Key), HostKey: s.HostKey, Database: p.URL("sslmode=disable"), Password: p.Password, Folder: t.TempDir()}
	told, _ := json.Marshal(k)
	t.Setenv(knownVar, string(told))
	return k
}

// serviceHouse has a server and a database.
func serviceHouse(t *testing.T, k known) (*house, *run.Engine) {
	h, e := realHouse(t, nil)
	h.keep("server", "prod_vps_1", map[string]string{"user": k.SSHUser, "port": strconv.Itoa(k.SSHPort), "host_key": k.HostKey},
		map[string]string{"host": "127.0.0.1", "ssh_key": k.SSHKey}, policy.Policy{})
	h.keep("database", "shop_db", map[string]string{"env": "DATABASE_URL", "engine": "postgres", "database": "shop", "user": "app"},
		map[string]string{"url": k.Database, "password": k.Password, "host": "127.0.0.1"}, policy.Policy{Private: true})
	return h, e
}

// Programs that speak ssh or PostgreSQL reach servers and databases that they hold no key of and no address.
func TestProgramsUseServersAndDatabases(t *testing.T) {
	k := servers(t)
	eachUser(t, func(t *testing.T) {
		_, e := serviceHouse(t, k)
		remote := k.Folder + "/" + strconv.Itoa(os.Getuid()) // on the "server", which is this machine
		for _, c := range []struct {
			name, script, want string
			refs               []string
		}{
			{"ssh", `ssh prod_vps_1 'echo it-$((40+2)); exit 3'; echo code=$?`, "it-42\ncode=3", nil},
			{"ssh with stdin", `echo over | ssh prod_vps_1 'tr a-z A-Z'`, "OVER", nil},
			{"ssh with a terminal", `ssh -tt prod_vps_1 'tty >/dev/null && echo has-a-tty'`, "has-a-tty", nil},
			{"scp there and back", `echo parcel > f && scp -q f prod_vps_1:` + remote + `.scp && scp -q prod_vps_1:` + remote + `.scp back && cat back`, "parcel", nil},
			{"sftp", `echo parcel2 > f && printf 'put f ` + remote + `.sftp\nget ` + remote + `.sftp back\n' | sftp -q -b - prod_vps_1 >/dev/null && cat back`, "parcel2", nil},
			{"rsync", `mkdir d && echo tree > d/x && rsync -a -e ssh d prod_vps_1:` + remote + `.rsync && ssh prod_vps_1 cat ` + remote + `.rsync/d/x`, "tree", nil},
			{"git over ssh", `ssh prod_vps_1 git init -q --bare ` + remote + `.git && git init -q w && cd w && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m one && git push -q prod_vps_1:` +
				remote + `.git HEAD:refs/heads/main && git ls-remote prod_vps_1:` + remote + `.git main | grep -c refs/heads/main`, "1", nil},
			{"git has a name", `git init -q w && cd w && git commit -q --allow-empty -m one && git log --format='%an <%ae> %cn' && git config user.name Mine && git commit -q --allow-empty -m two && git log -1 --format=%an`,
				"alice via Zavhoz <alice@zavhoz.invalid> alice via Zavhoz\nMine\n", nil},
			{"ansible", `ansible -i prod_vps_1, all -m ping`, `"ping": "pong"`, nil},
			{"psql", `psql "$DATABASE_URL" -Atc "select 40+2, current_user"`, "42|app", []string{"shop_db"}},
			{"psql without being told", `psql -Atc "select 40+2, current_user, current_database()"`, "42|app|shop", []string{"shop_db"}},
			{"psql in a pipe", `echo 'create temp table t(a int); insert into t select generate_series(1,1000); select sum(a) from t;' | psql "$DATABASE_URL" -At | tail -1`, "500500", []string{"shop_db"}},
			{"server and database", `ssh prod_vps_1 echo a && psql "$DATABASE_URL" -Atc "select 'b'"`, "a\nb", []string{"prod_vps_1", "shop_db"}},
		} {
			t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
				refs := c.refs
				if refs == nil {
					refs = []string{"prod_vps_1"}
				}
				r := run.Request{Actor: alice, Refs: refs, Command: []string{"sh", "-c", c.script}, Timeout: 2 * time.Minute}
				res := mustRun(t, e, r)
				clean(t, res, k.Password)
				clean(t, res, strings.Split(k.SSHKey, "\n")[2])
				if !strings.Contains(res.Stdout, c.want) {
					t.Fatalf("%+v", res)
				}
			})
		}
	})
}

// git clones and pushes over HTTPS with a placeholder for a password; the server sees the true one.
func TestGitOverHTTPS(t *testing.T) {
	eachUser(t, func(t *testing.T) {
		root := t.TempDir()
		if out, err := exec.Command("git", "init", "-q", "--bare", filepath.Join(root, "shop.git")).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		if out, err := exec.Command("git", "-C", filepath.Join(root, "shop.git"), "config", "http.receivepack", "true").CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		path, err := exec.Command("git", "--exec-path").Output()
		if err != nil {
			t.Fatal(err)
		}
		backend := &cgi.Handler{Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"), Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=x"}}
		u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			if user, pass, ok := r.BasicAuth(); !ok || user != "x-access-token" || pass != acmeKey {
				w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
				http.Error(w, "who are you", http.StatusUnauthorized)
				return
			}
			backend.ServeHTTP(w, r)
		})
		h, e := realHouse(t, nil)
		h.keep("api_key", "acme", map[string]string{"env": "ACME_KEY", "hosts": upstreamHost + ":" + strconv.Itoa(u.port), "header": "basic", "username": "x-access-token"},
			map[string]string{"key": acmeKey}, u.policy())
		url := strings.Replace(u.url("/shop.git"), "https://", "https://x-access-token:$ACME_KEY@", 1)
		res := mustRun(t, e, run.Request{Actor: alice, Refs: []string{"acme"}, Timeout: time.Minute, Command: []string{"sh", "-ec",
			`git clone -q "` + url + `" w 2>/dev/null; cd w; git -c user.name=a -c user.email=a@b commit -q --allow-empty -m one; git push -q origin HEAD:refs/heads/main; git ls-remote origin main`}})
		clean(t, res, acmeKey)
		if res.ExitCode != 0 || !strings.Contains(res.Stdout, "refs/heads/main") {
			t.Fatalf("%+v", res)
		}
	})
}
