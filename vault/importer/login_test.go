package importer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/importer"
)

// onePux is an export of 1Password with one entry.
func onePux(category, title, url, fields string) string {
	return fmt.Sprintf(`{"accounts":[{"vaults":[{"attrs":{"name":"Work"},"items":[{"categoryUuid":%q,"overview":{"title":%q,"url":%q},"details":{"sections":[{"fields":[%s]}]}}]}]}]}`, category, title, url, fields)
}

func field(title, id, kind, value string) string {
	return fmt.Sprintf(`{"title":%q,"id":%q,"value":{%q:%q}}`, title, id, kind, value)
}

const aKey = `{"title":"key","id":"k","value":{"sshKey":{"privateKey":"-----BEGIN OPENSSH PRIVATE KEY-----"}}}`

// Of an entry that is a server nothing is lost: what a server has no place for is a resource of its own.
func TestAnEntryThatIsAServer(t *testing.T) {
	user, password := field("u", "username", "string", "root"), field("p", "password", "concealed", "root-password-1")
	for _, c := range []struct{ url, fields, want, attrs string }{
		{"203.0.113.9", user + "," + password, `Box host="203.0.113.9" password="root-password-1"`, "map[user:root]"},
		{"ssh://Box.Example:2222", user + "," + aKey, `Box host="box.example" ssh_key="-----BEGIN OPENSSH PRIVATE KEY-----"`, "map[port:2222 user:root]"},
		{"https://box.example:8443/admin", user + "," + password, `Box host="box.example" password="root-password-1"`, "map[user:root]"},
		{"box.example", user + "," + password + "," + field("console password", "c", "concealed", "console-password-1") + "," + field("t", "t", "totp", "otpauth://x"),
			`Box host="box.example" password="root-password-1"` + "\n" + `Box (more) console_password="console-password-1" totp="otpauth://x"`, "map[user:root]"},
		{"box.example", password, `Box host="box.example" value="root-password-1"`, "map[]"},
		{"box.example", user, `Box host="box.example" username="root"`, "map[]"},
		{"http://box.example:8080", user + "," + password, `Box host="box.example" password="root-password-1"`, "map[user:root]"},
		{"http://[", user + "," + password, `Box username="root" value="root-password-1"`, "map[]"},
		{"", user + "," + password, `Box username="root" value="root-password-1"`, "map[]"},
	} {
		items, err := importer.ReadOnePassword([]byte(onePux("110", "Box", c.url, c.fields)))
		if err != nil || said(items) != c.want || fmt.Sprint(items[0].Attrs) != c.attrs {
			t.Errorf("%s: %v\n%s %v", c.url, err, said(items), items)
			continue
		}
		isServer := strings.Contains(c.attrs, "user")
		if (items[0].Kind == "server") != isServer || fmt.Sprint(items[0].Labels) != "map[folder:Work]" {
			t.Errorf("%s: kind %q, labels %v", c.url, items[0].Kind, items[0].Labels)
		}
	}
	archived := strings.Replace(onePux("110", "Box", "203.0.113.9", user+","+password), `{"categoryUuid"`, `{"state":"archived","categoryUuid"`, 1)
	if items, err := importer.ReadOnePassword([]byte(archived)); err != nil || said(items) != "Box !not_supported" {
		t.Errorf("%s %v", said(items), err)
	}
}

// Each field keeps its value under a name that a generic resource may have, however many are called alike.
func TestFieldsOfALoginKeepTheirValues(t *testing.T) {
	var fields []string
	for i := range 12 {
		fields = append(fields, field("PIN", "x", "concealed", fmt.Sprintf("pin-number-%d", i)), field("a title that is far longer than the name of a field may be", "y", "concealed", string(rune('a'+i))))
	}
	for _, title := range []string{"Env", "kind", "env_value", "Password (old)", "2fa", "Секрет", "", "2", "project", "labels", "fields", "a title that is cut at a blan  x", "Username"} {
		fields = append(fields, field(title, "y", "concealed", "of "+title))
	}
	fields = append(fields, aKey, aKey, field("a day", "d", "date", "1700000000"))
	items, err := importer.ReadOnePassword([]byte(onePux("001", "Mail", "https://me:token@Mail.example/x", field("", "username", "string", "me")+","+field("", "password", "concealed", "mail-password-1")+","+strings.Join(fields, ","))))
	if err != nil || len(items) != 1 {
		t.Fatal(items, err)
	}
	i := items[0]
	for name, want := range map[string]string{"value": "mail-password-1", "username": "me", "pin": "pin-number-0", "pin_2": "pin-number-1", "pin_12": "pin-number-11", "field_env": "of Env", "field_kind": "of kind",
		"field_env_value": "of env_value", "password_old": "of Password (old)", "fa": "of 2fa", "sekret": "of Секрет", "imported": "of ", "field": "of 2", "field_project": "of project", "field_labels": "of labels", "field_fields": "of fields",
		"a_title_that_is_far_longer_tha": "a", "a_title_that_is_far_longer_tha_9": "i", "a_title_that_is_far_longer_th_12": "l", "a_title_that_is_cut_at_a_blan": "of a title that is cut at a blan  x",
		"username_2": "of Username", "private_key": "-----BEGIN OPENSSH PRIVATE KEY-----", "key": "-----BEGIN OPENSSH PRIVATE KEY-----"} {
		if got := string(i.Secrets[name].Reveal()); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if len(i.Secrets) != 2*12+13+4 || i.Labels["site"] != "mail.example" {
		t.Errorf("%v %v", i.Fields(), i.Labels)
	}
	if items, err := importer.ReadOnePassword([]byte(onePux("001", "Nowhere", "", field("", "password", "concealed", "mail-password-1")))); err != nil || fmt.Sprint(items[0].Labels) != "map[folder:Work]" {
		t.Errorf("%v %v", items, err)
	}
	if items, err := importer.ReadOnePassword([]byte(onePux("001", "Bare", "https://x.example", field("a day", "d", "date", "1700000000")))); err != nil || said(items) != "Bare !not_supported" {
		t.Errorf("%s %v", said(items), err)
	}
}

// A field that is named by its own value gets another name: models read which fields there are, and the variables that are made of them.
func TestAttack65_APastedNameOfAFieldIsShownNowhere(t *testing.T) {
	fields := field("hunter2hunter2", "a", "concealed", "hunter2hunter2") + "," + field("Old: Hunter2 (Hunter3)", "b", "concealed", "hunter2-hunter3") + "," + field("Door", "c", "concealed", "hunter2hunter2")
	items, err := importer.ReadOnePassword([]byte(onePux("001", "Mail", "", field("", "password", "concealed", "mail-password-1")+","+fields)))
	if err != nil {
		t.Fatal(err)
	}
	d := planned(t, items...)[0]
	if got := fmt.Sprint(d.Handle, d.Fields(), d.Attrs, d.Notes); d.Problem != nil || got != "mail[door imported imported_2 value] map[env:Mail env_door:Mail_DOOR env_imported:Mail_IMPORTED env_imported_2:Mail_IMPORTED_2] []" {
		t.Errorf("%s %v", got, d.Problem)
	}
}

// Nor is a field that is named by another value of its entry: the password, the user, the code, the note, another field's, or where a server is.
func TestAttack65_ANameOfAFieldShowsNoOtherValue(t *testing.T) {
	values := strings.Join([]string{field("", "username", "string", "octo-the-cat"), field("", "password", "concealed", "mail-password-1"), field("", "t", "totp", "otpauth://x"), aKey}, ",")
	for _, name := range []string{"octo-the-cat", "Octo the cat!", "mail-password-1", "Old: Mail Password 1", "otpauth://x", "-----BEGIN OPENSSH PRIVATE KEY-----", "of the door", "the box.example"} {
		for _, category := range []string{"001", "110"} {
			fields := values + "," + field(name, "a", "concealed", "another-value") + "," + field("Door", "b", "concealed", "of the door")
			items := mustRead(t, onePux(category, "Mail", "box.example", fields))
			d := planned(t, items...)[len(items)-1]
			split, hidden := len(items) == 2, string(d.Secrets["imported"].Reveal()) == "another-value"
			public := split && strings.HasPrefix(strings.ToLower(name), "octo") || !split && strings.HasSuffix(name, "box.example") // a server's user, and a site: anybody may read them
			if said := fmt.Sprint(d.Fields(), d.Attrs); split != (category == "110") || d.Problem != nil || hidden == public || d.Attrs["env_imported"] == "" == hidden {
				t.Errorf("%s %q: %s %v", category, name, said, d.Problem)
			}
		}
	}
	d := planned(t, mustRead(t, onePux("110", "Mail", "box.example", field("the box.example", "a", "concealed", "another-value")))...)[0] // no server, having no user: its address is a field
	if fmt.Sprint(d.Fields()) != "[host imported]" || d.Problem != nil {
		t.Errorf("%v %v", d.Fields(), d.Problem)
	}
}

// The title of a server shows no value of either of the two resources that come of it: nobody sees it, and models neither in a handle nor in a variable.
func TestAttack65_APastedTitleOfAServerIsShownNowhere(t *testing.T) {
	user, password := field("", "username", "string", "root"), field("", "password", "concealed", "root-password-1")
	more := field("Console", "c", "concealed", "console-password-1")
	for _, title := range []string{"Box root-password-1", "root-password-1", "Root Password 1", "Root_Password_1", "Box console-password-1", "Box: Console password 1!", "the box.example", "ghp_" + strings.Repeat("aB3", 12)} {
		for _, rest := range []string{"", "," + more} {
			if rest == "" && strings.Contains(strings.ToLower(title), "console") {
				continue
			}
			pux := onePux("110", title, "box.example", user+","+password+rest)
			ds := planned(t, mustRead(t, pux)...)
			for n, d := range ds {
				want := []string{"server imported map[user:root]", "generic imported_2 map[env_console:SECRET_CONSOLE]"}[n]
				if got := fmt.Sprint(d.Kind, " ", d.Handle, " ", d.Attrs); d.Problem != nil || got != want || d.Source != "" || d.Where != "accounts.0.vaults.0.items.0" || len(d.Notes) == 0 || !strings.Contains(d.Notes[0], "--map") {
					t.Errorf("%q: %s %q %q %q %v", title, got, d.Source, d.Where, d.Notes, d.Problem)
				}
			}
			ds, err := importer.Plan(mustRead(t, pux), importer.Naming{Map: map[string]string{title: "kept"}})
			if err != nil || len(ds) != 1+strings.Count(rest, "Console") || ds[0].Handle != "kept" || ds[0].Source != "" || rest != "" && ds[1].Handle != "imported" {
				t.Errorf("%q: %v %+v", title, err, ds)
			}
		}
	}
	ds := planned(t, mustRead(t, onePux("110", "Box", "box.example", user+","+password+","+more))...)
	if got := fmt.Sprint(ds[0].Handle, " ", ds[0].Source, ", ", ds[1].Handle, " ", ds[1].Source, " ", ds[1].Attrs, ds[1].Notes); got != "box Box, box_more Box (more) map[env_console:BOX_MORE_CONSOLE] []" || strings.Contains(fmt.Sprint(ds[0].Notes), "--map") {
		t.Error(got)
	}
}

// An entry of one field is not empty, though that is no password: a note, or the one field that a server has no place for.
func TestAnEntryOfOneFieldIsTaken(t *testing.T) {
	for title, want := range map[string]string{"Wifi": "generic wifi default [notes]", "OPENAI_API_KEY": "generic openai_api_key default [notes]"} {
		items, err := importer.ReadBitwarden([]byte(`{"encrypted":false,"items":[{"type":2,"name":"` + title + `","notes":"the-code-of-the-door"},{"type":2,"name":"Blank","notes":" "}]}`))
		if err != nil {
			t.Fatal(err)
		}
		ds := planned(t, items...)
		if proposed(ds) != want+"\nout: it is empty" || len(ds[0].Notes) != 0 || string(ds[0].Secrets["notes"].Reveal()) != "the-code-of-the-door" {
			t.Errorf("%s %q", proposed(ds), ds[0].Notes)
		}
	}
}

func mustRead(t *testing.T, pux string) []importer.Item {
	t.Helper()
	items, err := importer.ReadOnePassword([]byte(pux))
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// A login without a name, or of one that may not be shown, is taken all the same: its fields' own names are often no variables.
func TestALoginWithoutAName(t *testing.T) {
	items, err := importer.ReadCSV([]byte("title,username,password,otpauth\n,octocat,my-password-1,otpauth://x\n"))
	if err != nil {
		t.Fatal(err)
	}
	d := planned(t, items...)[0]
	if got := fmt.Sprint(d.Handle, d.Attrs); d.Problem != nil || got != "importedmap[env_totp:SECRET_TOTP env_username:SECRET_USERNAME]" {
		t.Errorf("%s %v", got, d.Problem)
	}
}

// What a model may read of an entry, a label, is no place for a token, for what moves a terminal, or for a text of any length.
func TestAttack65_LabelsOfAnEntryShowNoSecret(t *testing.T) {
	for folder, want := range map[string]bool{"Work": true, "Работа": true, bot: false, "a\x1b[2J": false, "a\u009b2J": false, "a\u009f": false, "a\u00a0b": true, "a\x7f": false, "a\ufffd": false, "": false,
		strings.Repeat("x", 128): true, strings.Repeat("x", 129): false} {
		items, err := importer.ReadCSV([]byte("title,password,folder\nMail,mail-password-1," + folder + "\n"))
		if err != nil || len(items) != 1 {
			t.Fatal(items, err)
		}
		if got, has := items[0].Labels["folder"]; has != want || has && got != folder {
			t.Errorf("%q: %v %q", folder, has, got)
		}
	}
	for folder, want := range map[string]bool{"Mail": true, "mail-password-1": false, "Of mail password 1": false, "Old MAIL_PASSWORD_1": false} {
		items, err := importer.ReadCSV([]byte("title,password,folder\nMail,mail-password-1," + folder + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		if _, has := planned(t, items...)[0].Labels["folder"]; has != want {
			t.Errorf("%q: %v", folder, has)
		}
	}
}
