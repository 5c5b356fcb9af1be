package postgres_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const pythonProgram = `
import io, os, psycopg2
c = psycopg2.connect(os.environ["DATABASE_URL"])
q = c.cursor()
q.execute("CREATE TEMP TABLE t(n int, v text)")
q.copy_expert("COPY t FROM STDIN", io.StringIO("".join("%d\tvalue\n" % n for n in range(1000))))
named = c.cursor("by_portal")
named.itersize = 100
named.execute("SELECT n FROM t WHERE v = %s ORDER BY n", ("value",))
print("sum", sum(n for (n,) in named), "user", c.info.user, "tls", c.info.ssl_in_use)
named.close()
try:
    q.execute("SELECT 1/0")
except psycopg2.errors.DivisionByZero as e:
    print("error", e.pgcode)
c.rollback()
q.execute("SELECT pw FROM python_leaks")
print("row", q.fetchone()[0])
`

func TestAProgramInPython(t *testing.T) {
	server.Exec(t, "CREATE TABLE IF NOT EXISTS python_leaks AS SELECT $1::text AS pw", server.Password)
	x := front(t, server.URL("sslmode=require"), nil)
	python := "/usr/bin/python3" // the system's, for which testdata/needs/install gets the driver
	if _, err := os.Stat(python); err != nil {
		python = "python3"
	}
	c := exec.CommandContext(t.Context(), python, "-c", pythonProgram)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "DATABASE_URL=" + x.url}
	out, err := c.CombinedOutput()
	want := "sum 499500 user app tls False\nerror 22012\nrow " + strings.Repeat("*", len(server.Password)) + "\n"
	if err != nil || string(out) != want {
		t.Errorf("%v: %s", err, out)
	}
}
