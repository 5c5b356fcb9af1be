package dotenv_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/dotenv"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

func pair(name, value string) dotenv.Pair {
	return dotenv.Pair{Name: name, Value: secret.FromString(value)}
}

func write(reader dotenv.Reader, pairs ...dotenv.Pair) (string, error) {
	var b bytes.Buffer
	err := dotenv.Write(&b, reader, pairs)
	return b.String(), err
}

// The forms, for people who compare two files.
func TestForms(t *testing.T) {
	for _, c := range []struct {
		reader      dotenv.Reader
		value, want string
	}{
		{dotenv.Bash, "plain", "'plain'"},
		{dotenv.Bash, "it's $5 `id`\n", `'it'\''s $5 ` + "`id`\n'"},
		{dotenv.Compose, "a$b ${C} #x", "'a$b ${C} #x'"},
		{dotenv.Compose, `it's $5 \n "q"`, `"it's $$5 \\n \"q\""`},
		{dotenv.Python, "it's", `'it\'s'`},
		{dotenv.Python, "a\r\nb", "\"a\\r\nb\""},
		{dotenv.Python, `C:\`, `C:\`},
		{dotenv.Go, "a$B", "'a$B'"},
		{dotenv.Go, "it's $B", `"it's \$B"`},
		{dotenv.Go, `ends"'"`, `ends"'"`},
		{dotenv.Go, "", "''"},
	} {
		got, err := write(c.reader, pair("V", c.value))
		if want := "# Written by zavhoz for " + string(c.reader) + ": other readers read it otherwise.\nV=" + c.want + "\n"; err != nil || got != want {
			t.Errorf("%s %q: %q %v", c.reader, c.value, got, err)
		}
	}
}

const canary = "canary5f21c0de"

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		reader dotenv.Reader
		value  string
		why    string
	}{
		{dotenv.Bash, canary + "\x00", "zero byte"},
		{dotenv.Compose, canary + "\x00", "zero byte"},
		{dotenv.Python, canary + "\x00", "zero byte"},
		{dotenv.Go, canary + "\x00", "zero byte"},
		{dotenv.Bash, strings.Repeat(canary, 10000), "longer than"},
		{dotenv.Compose, canary + "\xff", "not UTF-8"},
		{dotenv.Python, canary + "\xff", "not UTF-8"},
		{dotenv.Python, canary + "${HOME}", "replaces even within quotes"},
		{dotenv.Python, canary + " \\", "final backslash"},
		{dotenv.Go, canary + " '\"", "quotes and backslashes"},
		{dotenv.Go, canary + "\n\\", "quotes and backslashes"},
	} {
		got, err := write(c.reader, pair("AA_FIRST", "fine"), pair("THE_NAME", c.value))
		if fault.CodeOf(err) != fault.DeliveryRefused || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), "THE_NAME") {
			t.Errorf("%s: %v", c.reader, err)
		}
		if got != "" {
			t.Errorf("%s: refused, and yet it wrote %q", c.reader, got)
		}
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the refusal repeats the value", c.reader)
		}
	}
	for _, bad := range [][]dotenv.Pair{{pair("A B", "")}, {pair("", "")}, {pair("1A", "")}, {pair("A=x\nB", "")}, {pair("A", "1"), pair("A", "2")}} {
		if _, err := write(dotenv.Bash, bad...); fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("%v", err)
		}
	}
	if _, err := write("fish"); fault.CodeOf(err) != fault.InvalidArgument {
		t.Errorf("%v", err)
	}
}

// pieces are what readers stumble over, to be put together at random.
var pieces = []string{"a", "B", "_", "0", " ", "  ", "\t", "\n", "\r", "\r\n", "'", "\"", "`", "\\", "\\\\", "\\n", "\\t", "$", "$$", "${", "}", "${V0}", "$V0", "$(id)", "`id`", "#", " #", "=", ":", ";", "&", "|", "!", "*", "?", "~",
	"%", "é", "日本", "\u00a0", "\u0085", "\u2028", "\ufeff", "\x01", "\x1b[0m", "\x7f", "export ", "\v", "\f", "\\'", "\\\"", "'\\''", ",", "<", ">", "(", ")", "{", "[", "]", "\\$", "$1", "${x:-y}"}

func randomValue(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(8) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}
