package importer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/importer"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// planned is the plan of items under no naming.
func planned(t *testing.T, items ...importer.Item) []importer.Draft {
	t.Helper()
	ds, err := importer.Plan(items, importer.Naming{})
	if err != nil || len(ds) != len(items) {
		t.Fatal(len(ds), err)
	}
	return ds
}

// Somebody pasted the value into the title: models read handles and the names of variables, and a dry run is shown. A name that is a variable's is a program's, and stays.
func TestAttack65_APastedTitleIsShownNowhere(t *testing.T) {
	for title, value := range map[string]string{
		"correct horse battery": "correct horse battery", "Mail: Correct Horse Battery!": "correct horse battery", "Correct Horse Battery": "correct horse battery!", "correct_horse_battery": "correct-horse-battery", "hunter2hunter2": "hunter2hunter2", "old_hunter2hunter2": "hunter2hunter2", "Door h#2!!!!r": "h#2!!!!r", "Hunter2 / Hunter2": "hunter2-hunter2",
		"ghp_" + strings.Repeat("aB3", 12): "another-secret-value",
	} {
		i := item(title, value)
		i.Secrets["username"] = secret.FromString("somebody-else")
		d := planned(t, i)[0]
		if said := strings.ToLower(fmt.Sprint(d.Handle, d.Source, d.Where, d.Attrs, d.Notes)); d.Handle != "imported" || d.Problem != nil || fmt.Sprint(d.Attrs) != "map[env_username:SECRET_USERNAME]" || strings.Contains(said, "horse") || strings.Contains(said, "hunter2") || strings.Contains(said, "door") || strings.Contains(said, "ghp_") {
			t.Errorf("%q: %s %v", title, said, d.Problem)
		}
		if len(d.Notes) != 1 || !strings.Contains(d.Notes[0], "--map") {
			t.Errorf("%q: notes %q", title, d.Notes)
		}
	}
	if d := planned(t, item("POSTGRES_PASSWORD", "postgres"))[0]; d.Handle != "imported" || d.Attrs["env"] != "POSTGRES_PASSWORD" || d.Source != "POSTGRES_PASSWORD" || len(d.Notes) != 0 {
		t.Errorf("%+v", d)
	}
	if d := planned(t, item("secret7", "secret7"))[0]; d.Handle != "secret7" || d.Attrs["env"] != "secret7" { // shorter than what is ever masked: what it is, its note says
		t.Errorf("%+v", d)
	}
	if d := planned(t, item("My mail", "(#%$&a@!"))[0]; d.Handle != "my_mail" || d.Attrs["env"] != "MY_MAIL" { // one letter of a value in a title shows nothing of it
		t.Errorf("%+v", d)
	}
	long := item("The account of the mail server in Berlin now: Correct horse battery", "correct horse battery")
	if d := planned(t, long)[0]; d.Handle != "imported" || strings.Contains(fmt.Sprint(d.Attrs, d.Source), "horse") {
		t.Errorf("%q %v %q", d.Handle, d.Attrs, d.Source)
	}
}

// A key of a tree may repeat the value, too, at any place on its way: what is made of it is as public. The keys beside it stay what they are.
func TestAttack65_APastedKeyIsShownNowhere(t *testing.T) {
	token := "ghp_" + strings.Repeat("aB3", 12)
	for _, file := range []string{
		`{"db": {"hunter2hunter2": "hunter2hunter2"}}`, `{"hunter2hunter2": {"password": "hunter2hunter2"}}`, `{"db": {"The Hunter2-Hunter2!": "hunter2-hunter2"}}`, `{"hunter2.hunter2": ["x", "hunter2.hunter2"]}`,
		`{"a": {"old-hunter2-hunter2": {"b": "hunter2-hunter2"}}}`, `{"db": {"hunter2 - hunter2": "hunter2 - hunter2"}}`, `{"db": {"` + token + `": "another-secret-value"}}`, `{"` + token + `": {"deep": {"er": "another-secret-value"}}}`, `{"db": {"` + token + `": ""}}`,
	} {
		for _, format := range []importer.Format{importer.JSON, importer.YAML} { // the one is the other, too
			items, err := importer.Read([]byte(file), importer.Options{Format: format})
			if err != nil {
				t.Fatal(err)
			}
			ds := planned(t, items...)
			d := ds[len(ds)-1]
			said := strings.ToLower(fmt.Sprint(d.Handle, d.Source, d.Where, d.Attrs, d.Notes, d.Out))
			if d.Problem != nil || d.Out == "" && (!strings.HasPrefix(d.Handle, "imported") || len(d.Attrs) != 0 || len(d.Notes) != 1) || strings.Contains(said, "hunter") || strings.Contains(said, "ghp_") {
				t.Errorf("%s: %s %v", file, said, d.Problem)
			}
		}
	}
	items, err := importer.Read([]byte(`{"env": {"POSTGRES_PASSWORD": "postgres", "HUNTER2HUNTER2": "another-value", "pin": "hunter2hunter2"}, "pass word": {"1": "correct horse battery"}}`), importer.Options{Format: importer.JSON})
	if err != nil {
		t.Fatal(err)
	}
	ds := planned(t, items...)
	for i, want := range []string{"imported ENV_POSTGRES_PASSWORD", "imported_2 ENV_HUNTER2HUNTER2", "env_pin ENV_PIN", "pass_word_1 PASS_WORD_1"} {
		if got := ds[i].Handle + " " + ds[i].Attrs["env"]; got != want || len(ds[i].Notes) != 0 || ds[i].Source != strings.Fields(want)[1] {
			t.Errorf("%s: %q, %q, want %q", ds[i].Source, got, ds[i].Notes, want)
		}
	}
}

// Handles of long names are cut to what a handle may be, and stay apart.
func TestHandlesOfLongNames(t *testing.T) {
	long := strings.Repeat("long-name-", 8)
	var items []importer.Item
	for _, project := range []string{"", "a-project-with-a-rather-long-name"} {
		for range 11 {
			i := item(long, "some-value-here")
			i.Project = project
			items = append(items, i)
		}
	}
	items = append(items, item(strings.Repeat("long-name-", 5)+"long-name_2", "some-value-here"))
	cut := item(strings.Repeat("x", 54)+" y", "some-value-here")
	cut.Project = "shop"
	if d := planned(t, cut)[0]; d.Handle != "shop_"+strings.Repeat("x", 54) {
		t.Errorf("%q", d.Handle)
	}
	taken := map[string]bool{}
	for _, d := range planned(t, items...) {
		if d.Problem != nil || taken[d.Handle] || len(d.Handle) > 64 || !strings.HasPrefix(d.Handle, "long-name-long") && !strings.HasPrefix(d.Handle, d.Project+"_long-name-") {
			t.Errorf("%q %v", d.Handle, d.Problem)
		}
		taken[d.Handle] = true
	}
	for name, want := range map[string]string{strings.Repeat("x", 59) + " y": strings.Repeat("x", 59), "café {one}": "caf_one",
		"..-_x--": "x", "Ёлка и Жук": "elka_i_zhuk", "a   b": "a_b", "v1.0-rc": "v1.0-rc", "§§§": "imported", "9 to 5": "9_to_5"} {
		if d := planned(t, item(name, "some-value-here"))[0]; d.Handle != want {
			t.Errorf("%q is %q, want %q", name, d.Handle, want)
		}
	}
}

// Letters are written in their usual way: one that changed would change the handles that people have.
func TestHandlesOfCyrillicTitles(t *testing.T) {
	for name, want := range map[string]string{"абвгдеёжзийклмнопрст": "abvgdeezhziyklmnoprst", "уфхцчшщъыьэюя": "ufkhtschshschyeyuya", "іїєґў": "iieguu"[:5]} {
		if d := planned(t, item(name, "some-value-here"))[0]; d.Handle != want {
			t.Errorf("%q is %q, want %q", name, d.Handle, want)
		}
	}
}

// What the source names has its handle before all that gets one, under the prefix too, and of two of one handle the second is a problem.
func TestHandlesThatTheSourceNames(t *testing.T) {
	named := func(handle, project string) importer.Item {
		i := item("", "some-value-here")
		i.Kind, i.Handle, i.Project, i.Where = "generic", handle, project, "resources."+handle
		return i
	}
	ds, err := importer.Plan([]importer.Item{item("Box", "some-value-here"), named("box", "b"), named("box", "default"), named("disk", "default"), named("tape", "")},
		importer.Naming{Prefix: "old_", Project: "shop", Map: map[string]string{"disk": "kept", "tape": ""}})
	want := "generic old_shop_box shop [value]\ngeneric old_box b [value]\nhandle_taken\ngeneric kept shop [value]\nout: left out by --map"
	if err != nil || proposed(ds) != want {
		t.Errorf("%v\n%s", err, proposed(ds))
	}
	if ds[1].Source != "box" || ds[1].Where != "resources.box" || ds[0].Source != "Box" {
		t.Errorf("%+v", ds)
	}
	if ds, err = importer.Plan([]importer.Item{item("A", "some-value-here"), named("b", "")}, importer.Naming{Prefix: "No "}); err != nil || proposed(ds) != "invalid_argument\ninvalid_argument" {
		t.Errorf("%v\n%s", err, proposed(ds))
	}
	given := []importer.Item{named("", ""), item("", "some-value-here")}
	_, err = importer.Plan(given, importer.Naming{Map: map[string]string{"": "every_one"}})
	wantCode(t, err, fault.InvalidArgument)
}

// What is left out takes no handle, and what cannot be taken is a problem, each with its reason; of neither a value stays in memory.
func TestWhatIsNotTakenKeepsNoValue(t *testing.T) {
	entry := func(kind string, why *fault.Error, value string) importer.Item {
		i := importer.Item{Kind: kind, Name: "Key", Where: "here", Problem: why, Secrets: map[string]secret.Secret{}}
		if value != "" {
			i.Secrets["value"] = secret.FromString(value)
		}
		return i
	}
	archived := fault.New(fault.NotSupported, "it is archived", "")
	items := []importer.Item{
		entry("", nil, "  \t"), entry("", archived, ""), entry("", archived, "some-value-here"), entry("generic", archived, ""), entry("", fault.New(fault.InvalidArgument, "it is broken", ""), ""), entry("", fault.New(fault.InvalidArgument, "it is broken", ""), "some-value-here"),
		entry("api_key", nil, "some-value-here"), entry("no_kind", nil, "some-value-here"), entry("", nil, "the-one-that-is-taken"), entry("", nil, "left-out-by-a-person"),
	}
	items[9].Name = "Left"
	values := make([]secret.Secret, len(items))
	for i, x := range items {
		values[i] = x.Secrets["value"]
	}
	ds, err := importer.Plan(items, importer.Naming{Map: map[string]string{"Left": ""}})
	want := "out: it is empty\nout: it is archived\nnot_supported\nnot_supported\ninvalid_argument\ninvalid_argument\ninvalid_argument\nunknown_kind\ngeneric key default [value]\nout: left out by --map"
	if err != nil || proposed(ds) != want {
		t.Errorf("%v\n%s", err, proposed(ds))
	}
	for i, v := range values {
		if kept := !v.IsZero(); kept != (i == 8) {
			t.Errorf("%d: kept %v", i, kept)
		}
		if i != 8 && ds[i].Handle != "" {
			t.Errorf("%d has a handle: %q", i, ds[i].Handle)
		}
	}
	for _, n := range []importer.Naming{{Map: map[string]string{"KEY": "No Handle"}}, {Map: map[string]string{"KEY": "same"}}} {
		given := []importer.Item{item("KEY", "some-value-here"), item("KEY", "some-other-value")}
		second := given[1].Secrets["value"]
		if _, err := importer.Plan(given, n); !second.IsZero() {
			t.Errorf("%v: %v left a value in memory", n, err)
		}
	}
}

// What people see of a name moves no terminal, and is not of any length.
func TestNamesAreShownCleanly(t *testing.T) {
	for name, want := range map[string]string{
		"a\x1b[2Jb": "a[2Jb", "a\x7fb": "ab", "a\u0080b\u009fc": "abc", "a b~\u00a0": "a b~\u00a0", "Ключ": "Ключ", bot: "", strings.Repeat("x ", 150): strings.Repeat("x ", 100),
	} {
		i := item(name, "some-value-here")
		i.Where = "in " + name
		if d := planned(t, i)[0]; d.Source != want || want != "" && len(name) < 200 && d.Where != "in "+want || want == "" && d.Where != "" {
			t.Errorf("%q is shown as %q in %q", name, d.Source, d.Where)
		}
	}
}

// A login with a token in it stays whole: no field is lost for the kind of another.
func TestALoginWithATokenStaysWhole(t *testing.T) {
	login := item("Weather", bot)
	login.Secrets["username"] = secret.FromString("weather-man")
	bare := importer.Item{Name: "Door", Secrets: map[string]secret.Secret{"username": secret.FromString("doorkeeper"), "notes": secret.FromString("some-value-here")}}
	one := importer.Item{Name: "Note", Secrets: map[string]secret.Secret{"notes": secret.FromString("some-value-here"), "totp": secret.FromString(" ")}}
	ds := planned(t, login, bare, one)
	if want := "generic weather default [username value]\ngeneric door default [notes username]\ngeneric note default [notes totp]"; proposed(ds) != want {
		t.Errorf("%s", proposed(ds))
	}
	if got := fmt.Sprint(ds[1].Attrs); got != "map[env_notes:Door_NOTES env_username:Door_USERNAME]" {
		t.Error(got)
	}
}

// A title makes no variable that steers a program; a short value and a value that a kind knows by another name are said to the person.
func TestVariablesOfTitles(t *testing.T) {
	preload := item("LD", "some-value-here")
	preload.Secrets["preload"] = secret.FromString("some-value-here")
	ds := planned(t, item("PATH", "some-value-here"), preload, item("my.app-name", "some-value-here"), item("1Password main", "some-value-here"), item("", bot), item("SHORT", "abc"), item("DB", "postgres://app:hunter2hunter2@db.example/app"))
	for i, want := range []string{"map[]", "map[env:LD]", "map[env:MY_APP_NAME]", "map[env:PASSWORD_MAIN]", "map[]", "map[env:SHORT]", "map[env:DB]"} {
		if ds[i].Problem != nil || fmt.Sprint(ds[i].Attrs) != want {
			t.Errorf("%s: %v %v", ds[i].Source, ds[i].Attrs, ds[i].Problem)
		}
	}
	for i, want := range map[int]string{0: "no variable of that name", 5: "shorter than 8 bytes"} {
		if len(ds[i].Notes) != 1 || !strings.Contains(ds[i].Notes[0], want) {
			t.Errorf("%s: %q", ds[i].Source, ds[i].Notes)
		}
	}
	for _, i := range []int{1, 2, 3, 4, 6} {
		if len(ds[i].Notes) != 0 {
			t.Errorf("%s: %q", ds[i].Source, ds[i].Notes)
		}
	}
}

// What a kind makes of other fields is not taken from a file: it is made anew.
func TestDerivedFieldsAreNotTaken(t *testing.T) {
	items, err := importer.Read([]byte("databases:\n  db:\n    url: postgres://app:hunter2hunter2@db.example/app\n"), importer.Options{Format: importer.YAML})
	if err != nil {
		t.Fatal(err)
	}
	derived := items[0].Secrets["password"]
	if ds := planned(t, items...); derived.Len() != 0 || fmt.Sprint(ds[0].Fields()) != "[url]" {
		t.Errorf("%v", ds[0].Fields())
	}
}
