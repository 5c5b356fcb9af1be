package importer_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/importer"
)

// dryRun is all that a dry run shows of a file's drafts, and what is stored of them in clear.
func dryRun(t *testing.T, file string, f importer.Format) (said string, names []string) {
	t.Helper()
	items, err := importer.Read([]byte(file), importer.Options{Format: f})
	if err != nil {
		t.Fatal(err)
	}
	ds, err := importer.Plan(items, importer.Naming{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range ds {
		said += fmt.Sprintln(d.Source, d.Where, d.Handle, d.Kind, d.Project, d.Attrs, d.Labels, d.Fields(), d.Notes, d.Out, d.Problem)
		names = append(names, d.Handle+" "+d.Attrs["env"])
		d.Wipe()
	}
	return said, names
}

// A key that repeats a value of what is beside it in a tree, or is a value of the file and nothing else, is in no name that anybody reads; keys beside it keep theirs.
func TestAttack65_AKeyThatShowsAnotherValueIsShownNowhere(t *testing.T) {
	for file, want := range map[string]string{
		`{"hunter2secret": "x", "password": "hunter2secret"}`:                                  "imported |password password",
		`{"old hunter2secret!": "x", "password": "hunter2secret"}`:                             "imported |password password",
		`{"old Hunter2.Secret": "x", "password": "hunter2-secret"}`:                            "imported |password password",
		`{"db": {"hunter2secret": {"port": "1"}, "password": "hunter2secret", "user": "bob"}}`: "imported |db_password DB_PASSWORD|db_user DB_USER",
		`{"hunter2secret": {"port": "1"}, "db": {"password": "hunter2secret"}}`:                "imported |db_password DB_PASSWORD",
		`{"keys": ["one", ["hunter2secret"]], "my_hunter2secret": "x"}`:                        "keys_0 KEYS_0|keys_1_0 KEYS_1_0|imported ",
		`{"hunter2": {"secret": "x"}, "password": "hunter2.secret"}`:                           "imported |password password",
		`{"POSTGRES_USER": "postgres", "POSTGRES_DB": "1"}`:                                    "imported POSTGRES_USER|imported_2 POSTGRES_DB",
		`{"correct_horse_battery": "x", "password": "correct-horse-battery"}`:                  "imported |password password",
		`{"my_correct_horse_battery": "x", "password": "correct-horse-battery"}`:               "imported |password password",
		`{"correct": {"horse_battery": "x"}, "password": "correct-horse-battery"}`:             "imported |password password",
		`{"CORRECT_HORSE_BATTERY": "x", "password": "correct-horse-battery"}`:                  "imported CORRECT_HORSE_BATTERY|password password",
		`{"short": "x", "password": "short"}`:                                                  "short short|password password",
		`{"a": {"my_production": "x"}, "b": {"stage": "production"}}`:                          "a_my_production A_MY_PRODUCTION|b_stage B_STAGE",
	} {
		said, names := dryRun(t, file, importer.JSON)
		if got := strings.Join(names, "|"); got != want || strings.Contains(strings.ToLower(said), "hunter2") || strings.Contains(said, "horse") {
			t.Errorf("%s\n got %s\nwant %s\n%s", file, got, want, said)
		}
		if again, _ := dryRun(t, file, importer.YAML); again != said {
			t.Errorf("as YAML: %s", again)
		}
	}
}

// One key holds each of many values very often: what is looked at of that is bounded, and where nobody looked further no key is shown.
func TestKeysThatShowValuesWithoutEnd(t *testing.T) {
	var file strings.Builder
	fmt.Fprintf(&file, `{"%s": "x"`, strings.Repeat("a", 100_000))
	for n := range 400 {
		fmt.Fprintf(&file, `, "K%d": "%s"`, n, strings.Repeat("a", n+8))
	}
	file.WriteString(`, "later": {"innocent": "y"}}`)
	items, err := importer.Read([]byte(file.String()), importer.Options{Format: importer.JSON})
	if err != nil {
		t.Fatal(err)
	}
	ds, err := importer.Plan(items, importer.Naming{})
	if err != nil || len(ds) != 402 {
		t.Fatal(len(ds), err)
	}
	long := 0
	for _, d := range ds {
		if d.Problem != nil && d.Handle == "" && len(d.Secrets) == 0 {
			long++
			continue
		}
		if !strings.HasPrefix(d.Handle, "imported") || len(d.Attrs) > 0 {
			t.Fatalf("%s %v", d.Handle, d.Attrs)
		}
	}
	if long != 1 {
		t.Errorf("%d keys are too long to be names", long)
	}
}

// Long keys above many values are in all of their names: a file that would fill the memory with them is refused before any is made.
func TestNamesOfATreeAreBounded(t *testing.T) {
	for values, code := range map[int]fault.Code{2: "", 1025: fault.TooLarge} {
		file := `{"` + strings.Repeat("k ", 1<<15) + `": [` + strings.Repeat(`"",`, values-1) + `"x"], "short": "x"}`
		items, err := importer.Read([]byte(file), importer.Options{Format: importer.JSON})
		if fault.CodeOf(err) != code {
			t.Errorf("%d values: %v", values, err)
		}
		for i, item := range items {
			if long := i < len(items)-1; len(item.Name) > 10 || (item.Problem != nil) != long || (len(item.Secrets) == 0) != long {
				t.Errorf("%s: %v, %d values", item.Name, item.Problem, len(item.Secrets))
			}
		}
	}
}

// FuzzTreeNames plants a value in a tree and the same, or what is made of it, in keys beside it and away from it: what a dry run shows has it nowhere, but for the name of a variable in capitals not spelled otherwise either.
func FuzzTreeNames(f *testing.F) {
	for _, s := range []string{"hunter2secret", "correct-horse-battery", "Correct Horse Battery", "пароль-123", "a.b-c_d.e", "\x00\x00\x00\x00\x00\x00\x00\x00", "........", "aaaaaaaa"} {
		f.Add(s, "old ", uint8(0))
		f.Add(s, "", uint8(255))
		f.Add(s, "my_", uint8(8))
		f.Add(s, "", uint8(16))
		f.Add(s, "old ", uint8(8|16|4))
	}
	f.Fuzz(func(t *testing.T, value, more string, shape uint8) {
		value = strings.ToValidUTF8(value, "?")
		more = strings.ToValidUTF8(more, "?")
		if len(value) < 8 || len(value) > 200 || len(more) > 50 || strings.ContainsAny(value, "\ufffd") || ours(t, value) {
			return
		}
		pasted := value
		if shape&8 > 0 {
			pasted = strings.NewReplacer("-", "_", ".", "_", " ", "_").Replace(pasted)
		}
		if shape&16 > 0 {
			pasted = strings.ToUpper(pasted)
		}
		key := more + pasted + more
		planted := map[string]any{key: map[string]any{"port": "1"}, "here": value}
		if shape&1 > 0 {
			planted[key] = "x"
		}
		if shape&2 > 0 {
			planted["here"] = []any{"x", []any{value}}
		}
		file := map[string]any{"db": planted, "id": "x"}
		if shape&4 > 0 {
			key = pasted
			file = map[string]any{key: map[string]any{"port": "1"}, "db": map[string]any{"deep": map[string]any{"here": value}}}
		}
		raw, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		said, _ := dryRun(t, string(raw), importer.JSON)
		if strings.Contains(said, value) {
			t.Errorf("%q is shown of %s:\n%s", value, raw, said)
		}
		if spelled := importer.Spelled(value); len(spelled) >= 8 && key != strings.ToUpper(key) && strings.Contains(importer.Spelled(said), spelled) {
			t.Errorf("%q is shown in other words of %s:\n%s", value, raw, said)
		}
	})
}

// ours tells of a value that a dry run says of itself: one of its own words, or between them.
func ours(t *testing.T, value string) bool {
	said, _ := dryRun(t, `{"db": {"1": {"port": "1"}, "here": ["x", ["y"]]}, "id": "x", "deep": {"here": ""}}`, importer.JSON)
	all := said + " its title shows a value, so that neither a handle nor a variable is made of it: --map gives it a handle"
	return strings.Contains(all, value) || strings.Contains(importer.Spelled(all), importer.Spelled(value)) && len(importer.Spelled(value)) >= 8 || slices.Contains([]string{"imported", "imported_2", "imported_3", "imported_4"}, value)
}
