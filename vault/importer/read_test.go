package importer_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/importer"
)

func wantCode(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Fatalf("got %v, want code %q", err, code)
	}
}

// said gives items as text, values and all: tests may look.
func said(items []importer.Item) string {
	var lines []string
	for _, i := range items {
		line := i.Name
		if i.Handle != "" {
			line = i.Kind + ":" + i.Handle
		}
		for _, f := range i.Fields() {
			line += fmt.Sprintf(" %s=%q", f, i.Secrets[f].Reveal())
		}
		if i.Problem != nil {
			line += " !" + string(i.Problem.Code)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestDotenv(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"A=one\nB = two \n", `A value="one"` + "\n" + `B value="two"`},
		{"# a remark\n\nexport A=one # behind\nB=one#two\nC=#\n", `A value="one"` + "\n" + `B value="one#two"` + "\n" + `C value=""`},
		{"A=one\r\nB=two\r\n", `A value="one"` + "\n" + `B value="two"`},
		{`A="a \"b\" \\ \n $HOME"` + "\n" + `B='a \n "b"'`, `A value="a \"b\" \\ \n $HOME"` + "\n" + `B value="a \\n \"b\""`},
		{"A=\"-----BEGIN\nline  \n-----END\" # key\nB=x", `A value="-----BEGIN\nline  \n-----END"` + "\n" + `B value="x"`},
		{"A=  \" padded \"  ", `A value=" padded "`},
		{"exportA=x", `exportA value="x"`},
		{"", ""},
	} {
		items, err := importer.ReadDotenv([]byte(c.file))
		if err != nil || said(items) != c.want {
			t.Errorf("%q: got %s, %v; want %s", c.file, said(items), err, c.want)
		}
	}
	for _, bad := range []string{"A", "A=1\nA=2", "=x", "1A=x", "A b=x", "A=\"open", "A='x' y", "A=\"x"} {
		_, err := importer.ReadDotenv([]byte(bad))
		wantCode(t, err, fault.InvalidArgument)
	}
	_, err := importer.ReadDotenv([]byte("A=fine\n\nhunter2hunter2\n"))
	if err == nil || strings.Contains(err.Error(), "hunter2") || fault.Of(err).Details["line"] != 3 {
		t.Errorf("the refusal is %v", err)
	}
}

func TestText(t *testing.T) {
	want := "ПАРОЛЬ=𝄞x"
	units := utf16.Encode([]rune(want))
	little, big := []byte{0xFF, 0xFE}, []byte{0xFE, 0xFF}
	for _, u := range units {
		little, big = binary.LittleEndian.AppendUint16(little, u), binary.BigEndian.AppendUint16(big, u)
	}
	for _, in := range [][]byte{[]byte(want), append([]byte{0xEF, 0xBB, 0xBF}, want...), little, big} {
		if got, err := importer.Text(in); err != nil || string(got) != want {
			t.Errorf("%x: %q, %v", in, got, err)
		}
	}
	for _, bad := range [][]byte{{0xFF}, {0xFF, 0xFE, 0x00}, {0xFF, 0xFE, 0x00, 0xD8, 'a', 0}, []byte("a\x00b")} {
		_, err := importer.Text(bad)
		wantCode(t, err, fault.InvalidArgument)
	}
	_, err := importer.Text(make([]byte, importer.MaxFile+1))
	wantCode(t, err, fault.TooLarge)
}

func TestTrees(t *testing.T) {
	read := func(f importer.Format, file string) string {
		t.Helper()
		items, err := importer.Read([]byte(file), importer.Options{Format: f})
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		return said(items)
	}
	if got, want := read(importer.JSON, `{"A":"x","db":{"pass-word":"y","port":5432},"n":null,"l":["p"]}`), "A value=\"x\"\nDB_PASS_WORD value=\"y\"\nDB_PORT value=\"5432\"\nL_0 value=\"p\""; got != want {
		t.Errorf("got %s", got)
	}
	if got, want := read(importer.YAML, "A: 'x'\nB: 007\nC: yes\nD: |\n  two\n  lines\n"), "A value=\"x\"\nB value=\"007\"\nC value=\"yes\"\nD value=\"two\\nlines\\n\""; got != want {
		t.Errorf("got %s", got)
	}
	if got, want := read(importer.YAML, "telegram_bots:\n  weather:\n    name: weather_bot\n    token: 123456789:AAExampleToken0mYcVtR2sWbE8uKpJdH1oGiX\nprojects:\n  shop:\n    secrets:\n      A: x\n"),
		"telegram_bot:weather token=\"123456789:AAExampleToken0mYcVtR2sWbE8uKpJdH1oGiX\"\nA value=\"x\""; got != want {
		t.Errorf("got %s", got)
	}
	for _, c := range []struct {
		f    importer.Format
		file string
		code fault.Code
	}{
		{importer.JSON, `{"A":"x","A":"y"}`, fault.InvalidArgument},
		{importer.JSON, `{"A":"x"} {}`, fault.InvalidArgument},
		{importer.JSON, `{"A":`, fault.InvalidArgument},
		{importer.JSON, `"hunter2"`, fault.InvalidArgument},
		{importer.JSON, strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), fault.TooLarge},
		{importer.JSON, `{"a":[` + strings.Repeat("1,", 1<<20) + "1]}", fault.TooLarge},
		{importer.YAML, "A: x\nA: y\n", fault.InvalidArgument},
		{importer.YAML, "A: &a x\nB: *a\n", fault.NotSupported},
		{importer.YAML, "A: x\n---\nB: y\n", fault.NotSupported},
		{importer.YAML, "A: [", fault.InvalidArgument},
		{importer.YAML, "A: " + strings.Repeat("[", 100) + strings.Repeat("]", 100), fault.TooLarge},
		{importer.YAML, strings.Repeat("#", 4<<20) + "\nA: x", fault.TooLarge},
		{importer.Auto, "", fault.InvalidArgument},
	} {
		_, err := importer.Read([]byte(c.file), importer.Options{Format: c.f})
		wantCode(t, err, c.code)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the refusal holds the value: %v", err)
		}
	}
}

func TestDetect(t *testing.T) {
	for file, want := range map[string]importer.Format{
		"# x\nexport A=1\n":                  importer.Dotenv,
		"A: 1\n":                             importer.YAML,
		`{"A":1}`:                            importer.JSON,
		`{"A":"gAAAAABf"}`:                   importer.Fernet,
		"A=" + goldenTokens[0] + "\n":        importer.Fernet,
		goldenTokens[0]:                      importer.Fernet,
		`{"sops":{"mac":"ENC[AES256_GCM,"}}`: importer.SOPS,
		"a: ENC[AES256_GCM,data\nsops:\n    mac: x":  importer.SOPS,
		"A=ENC[AES256_GCM,x\nsops_mac=x\n":           importer.SOPS,
		"[DEFAULT]\nA=ENC[AES256_GCM,x\n[sops]\nm=x": importer.SOPS,
		"age-encryption.org/v1\n":                    importer.Age,
		"-----BEGIN AGE ENCRYPTED FILE-----\n":       importer.Age,
		"PK\x03\x04":                                 importer.OnePasswordX,
		"Title,Url,Username,Password,OTPAuth\n":      importer.OnePassword,
		"folder,favorite,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp\r\n": importer.Bitwarden,
		`{"encrypted":true,"items":[]}`:                        importer.BitwardenJSON,
		`{"accounts":[{"vaults":[{"items":[{"categoryUuid":1}`: importer.OnePasswordX,
	} {
		if got := importer.Detect([]byte(file)); got != want {
			t.Errorf("%q is %s, want %s", file, got, want)
		}
	}
}

func TestPasswordManagers(t *testing.T) {
	pux := `{"accounts":[{"vaults":[{"attrs":{"name":"Private"},"items":[
		{"state":"active","categoryUuid":"001","details":{"loginFields":[{"designation":"username","value":"octo"},{"designation":"password","value":"my-password-1"}],"notesPlain":"a note","sections":[{"fields":[{"title":"one-time password","id":"TOTP_1","value":{"totp":"otpauth://x"}},{"title":"Recovery code","id":"r","value":{"concealed":"recover-me-please"}}]}]},"overview":{"title":"GitHub","url":"https://u:p@github.com/x"}},
		{"state":"active","categoryUuid":"110","details":{"sections":[{"fields":[{"title":"URL","id":"url","value":{"string":"203.0.113.9"}},{"title":"username","id":"username","value":{"string":"root"}},{"title":"password","id":"password","value":{"concealed":"root-password-1"}}]}]},"overview":{"title":"Box"}},
		{"state":"active","categoryUuid":"114","details":{"sections":[{"fields":[{"title":"private key","id":"private_key","value":{"sshKey":{"privateKey":"-----BEGIN OPENSSH PRIVATE KEY-----"}}}]}]},"overview":{"title":"Key"}},
		{"state":"archived","categoryUuid":"001","details":{},"overview":{"title":"Old"}},
		{"state":"active","categoryUuid":"002","details":{},"overview":{"title":"Visa"}}]}]}]}`
	want := `GitHub notes="a note" recovery_code="recover-me-please" totp="otpauth://x" username="octo" value="my-password-1"
Box host="203.0.113.9" password="root-password-1"
Key value="-----BEGIN OPENSSH PRIVATE KEY-----"
Old !not_supported
Visa !not_supported`
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for _, name := range []string{"export.attributes", "export.data"} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write([]byte(pux))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range [][]byte{[]byte(pux), archive.Bytes()} {
		items, err := importer.Read(file, importer.Options{Format: importer.OnePasswordX})
		if err != nil || said(items) != want {
			t.Errorf("%v\n%s", err, said(items))
		}
		if len(items) > 0 && (items[0].Labels["site"] != "github.com" || items[0].Labels["folder"] != "Private") {
			t.Errorf("labels %v", items[0].Labels)
		}
	}
	items, err := importer.ReadBitwarden([]byte(`{"encrypted":false,"items":[
		{"type":1,"name":"Mail","login":{"username":"me","password":"pass-word-1","totp":null,"uris":[{"uri":"https://mail.example"}]},"fields":[{"name":"PIN","value":"1234-5678","type":1},{"name":"box","value":"true","type":2}]},
		{"type":5,"name":"Key","sshKey":{"privateKey":"-----BEGIN OPENSSH PRIVATE KEY-----"}},{"type":4,"name":"Me"},{"type":1,"name":"Gone","deletedDate":"2026-01-01","login":{"password":"x"}}]}`))
	want = "Mail pin=\"1234-5678\" username=\"me\" value=\"pass-word-1\"\nKey value=\"-----BEGIN OPENSSH PRIVATE KEY-----\"\nMe !not_supported\nGone !not_supported"
	if err != nil || said(items) != want {
		t.Errorf("%v\n%s", err, said(items))
	}
	_, err = importer.ReadBitwarden([]byte(`{"encrypted":true,"items":[]}`))
	wantCode(t, err, fault.NotSupported)
	items, err = importer.ReadCSV([]byte("Title,Url,Username,Password,OTPAuth,Favorite,Archived,Tags,Notes\r\n\"a, b\",,,\"x\"\"y\r\nz\",,false,false,,\r\nc,,,pw,,,TRUE,,\r\n"))
	if want := "a, b value=\"x\\\"y\\nz\"\nc !not_supported"; err != nil || said(items) != want {
		t.Errorf("%v\n%s", err, said(items))
	}
	for _, bad := range []string{"Title,Password\na,b,c\n", "Title,Password\n\"a", "Title,Title,Password\n", "a,b\n", "", "Title,Password\na,\"b\"c\n"} {
		_, err := importer.ReadCSV([]byte(bad))
		wantCode(t, err, fault.InvalidArgument)
	}
}

// A .1pux whose head tells a size that is not its own, or has no export in it.
func TestHostileArchives(t *testing.T) {
	for _, file := range [][]byte{[]byte("PK\x03\x04"), []byte("PK\x03\x04 and nothing that an archive has")} {
		_, err := importer.ReadOnePassword(file)
		wantCode(t, err, fault.InvalidArgument)
	}
	var bomb bytes.Buffer
	z := zip.NewWriter(&bomb)
	w, err := z.Create("export.data")
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 65 {
		_, _ = w.Write(zeros)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = importer.ReadOnePassword(bomb.Bytes())
	wantCode(t, err, fault.TooLarge)
}
