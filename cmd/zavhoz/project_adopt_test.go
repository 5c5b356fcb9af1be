//go:build unix

package main

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/vault/importer"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// TestAdoptAsAPersonTypesIt: look, adopt, change, finish; the earlier system's table has the change, and no output a value.
func TestAdoptAsAPersonTypesIt(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	key := base64.URLEncoding.EncodeToString([]byte("0123456789abcdefFEDCBA9876543210"))
	keys, err := importer.ParseFernetKeys([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	const before, after = "of-the-earlier-system-1", "of-the-vault-2"
	token, err := keys.Seal(secret.FromString(before), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), server.URL("sslmode=disable"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, q := range []string{
		`CREATE TABLE projects (id uuid PRIMARY KEY, slug text, title text, config jsonb)`,
		`INSERT INTO projects VALUES ('2b1c4c1e-6f7a-4a64-9a35-0f7c9be1d0aa', 'shop', 'The shop', '{"secrets":{"STRIPE_SECRET":"` + token + `"},"env_hints":{"STRIPE_SECRET":"of the shop"}}')`,
	} {
		if _, err := conn.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	p := initialised(t)
	files := shortDir(t)
	put := func(name, text string) string {
		path := filepath.Join(files, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "@" + path
	}
	from := []string{"--database", put("database-url", server.URL("sslmode=disable")), "--key", put("fernet.key", key)}
	said := ""
	ok := func(want string, args ...string) {
		t.Helper()
		out := p.ok(args...)
		said += out
		if !strings.Contains(out, want) {
			t.Errorf("zavhoz %s says nothing of %q:\n%s", strings.Join(args, " "), want, out)
		}
	}
	ok("Nothing was changed. config is jsonb.", append([]string{"project", "adopt", "--dry-run"}, from...)...)
	ok("No adoption is under way.", "project", "adopt", "--state")
	ok("taken", append([]string{"project", "adopt"}, from...)...)
	ok("of the shop", "project", "secret", "list", "2b1c4c1e-6f7a-4a64-9a35-0f7c9be1d0aa")
	ok("0 projects behind", "project", "adopt", "--state")
	ok("shop has 1 secret now", "project", "secret", "set", "shop", "STRIPE_SECRET="+put("value", after))
	var there string
	if err := conn.QueryRow(t.Context(), `SELECT config->'secrets'->>'STRIPE_SECRET' FROM projects`).Scan(&there); err != nil {
		t.Fatal(err)
	}
	if v, err := keys.Open([]byte(there)); err != nil || string(v.Reveal()) != after {
		t.Errorf("the earlier system's programs do not read the change: %v", err)
	}
	ok("its key is forgotten", "project", "adopt", "--finish")
	if r := p.run("", "project", "adopt", "--database", server.URL("sslmode=disable"), "--key", key); r.code != 2 || !strings.Contains(r.stderr, "secret_in_argv") || strings.Contains(r.stderr, key) {
		t.Errorf("in arguments: %v", r)
	}
	for _, value := range []string{before, after, key, token} {
		if strings.Contains(said, value) {
			t.Errorf("a value is printed:\n%s", said)
		}
	}
}
