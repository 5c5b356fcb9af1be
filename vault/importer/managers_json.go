package importer

import (
	"archive/zip"
	"bytes"
	"io"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// ReadBitwarden reads a JSON export of Bitwarden that is not encrypted. Errors: as ParseJSON; not_supported for an encrypted one.
func ReadBitwarden(b []byte) ([]Item, error) {
	n, err := ParseJSON(b)
	if err != nil {
		return nil, err
	}
	defer n.Wipe()
	if raw(n, "encrypted") == "true" {
		return nil, fault.New(fault.NotSupported, "the export is encrypted by Bitwarden, for Bitwarden", "export it as .json without a password, import it, and shred the file")
	}
	items, ok := n.Get("items")
	if !ok || items.Kind != wire.List {
		return nil, broken("the file is no export of Bitwarden", "--format says what it is, where it is something else")
	}
	folders := map[string]string{}
	for _, list := range []string{"folders", "collections"} {
		all, _ := n.Get(list)
		for _, f := range all.Items {
			folders[raw(f.Value, "id")] = raw(f.Value, "name")
		}
	}
	var out []Item
	for i, x := range items.Items {
		l := bitwarden(x.Value)
		l.where, l.folder = "items."+strconv.Itoa(i), folders[raw(x.Value, "folderId")]
		out = append(out, l.items()...)
	}
	return out, nil
}

// raw gives a scalar below n as text, "" where there is none.
func raw(n wire.Node, path ...string) string {
	for _, key := range path {
		next, ok := n.Get(key)
		if !ok {
			return ""
		}
		n = next
	}
	if !n.Kind.Scalar() || n.Kind == wire.Null {
		return ""
	}
	return string(n.Text.Reveal())
}

// The types of Bitwarden's entries.
const (
	bitwardenCard     = "3"
	bitwardenIdentity = "4"
)

func bitwarden(n wire.Node) login {
	l := login{title: raw(n, "name"), user: raw(n, "login", "username"), password: raw(n, "login", "password"), totp: raw(n, "login", "totp"), notes: raw(n, "notes"), key: raw(n, "sshKey", "privateKey")}
	switch raw(n, "type") {
	case bitwardenCard, bitwardenIdentity:
		l.out = "it is neither a login nor a note"
	}
	if raw(n, "deletedDate") != "" {
		l.out = "it is in the bin"
	}
	login, _ := n.Get("login")
	if uris, ok := login.Get("uris"); ok && len(uris.Items) > 0 {
		l.url = raw(uris.Items[0].Value, "uri")
	}
	fields, _ := n.Get("fields")
	for _, f := range fields.Items {
		if v := raw(f.Value, "value"); v != "" && raw(f.Value, "type") != "2" { // a box that is ticked
			l.more = append(l.more, named{raw(f.Value, "name"), v})
		}
	}
	return l
}

// ReadOnePassword reads a .1pux archive, or the export.data in it. What lies beside it in the archive, attached files, is not read: an entry that is one (a document)
// is left out and said; a file that is attached to another entry is passed over, and nothing says so.
// Errors: as ParseJSON; invalid_argument, too_large.
func ReadOnePassword(b []byte) ([]Item, error) {
	if bytes.HasPrefix(b, []byte("PK\x03\x04")) {
		data, err := exportData(b)
		if err != nil {
			return nil, err
		}
		defer clear(data)
		b = data
	}
	n, err := ParseJSON(b)
	if err != nil {
		return nil, err
	}
	defer n.Wipe()
	accounts, ok := n.Get("accounts")
	if !ok {
		return nil, broken("the file is no export of 1Password", "give the .1pux file, or the export.data in it")
	}
	var out []Item
	for a, account := range accounts.Items {
		vaults, _ := account.Value.Get("vaults")
		for v, vault := range vaults.Items {
			items, _ := vault.Value.Get("items")
			for i, x := range items.Items {
				l := onePassword(x.Value)
				l.where, l.folder = strings.Join([]string{"accounts", strconv.Itoa(a), "vaults", strconv.Itoa(v), "items", strconv.Itoa(i)}, "."), raw(vault.Value, "attrs", "name")
				out = append(out, l.items()...)
			}
		}
	}
	return out, nil
}

// exportData unpacks the one file of the archive that holds the entries, within the limit.
func exportData(b []byte) ([]byte, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, broken("the archive cannot be read", "give the .1pux file as 1Password wrote it").Because(err)
	}
	for _, f := range z.File {
		if f.Name != "export.data" {
			continue
		}
		if f.UncompressedSize64 > MaxFile {
			return nil, fault.New(fault.TooLarge, "the export is larger than 64 MiB", "export one vault at a time")
		}
		r, err := f.Open()
		if err != nil {
			return nil, broken("the archive cannot be read", "").Because(err)
		}
		defer r.Close()
		data := make([]byte, f.UncompressedSize64) // what the archive says; a longer stream is an error of its checksum
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, broken("the archive cannot be read", "").Because(err)
		}
		if n, err := io.CopyN(io.Discard, r, 1); n != 0 || err != io.EOF {
			clear(data)
			return nil, broken("the archive is damaged", "")
		}
		return data, nil
	}
	return nil, broken("the archive has no export.data", "give the .1pux file as 1Password wrote it")
}

// The categories of 1Password's entries that matter here.
const onePasswordServer = "110"

var onePasswordOut = map[string]string{"002": "it is a payment card", "004": "it is an identity", "101": "it is a bank account", "103": "it is a driving licence", "105": "it is a membership",
	"106": "it is a passport", "107": "it is a rewards programme", "108": "it is a social security number", "006": "it is an attached file"}

func onePassword(n wire.Node) login {
	l := login{title: raw(n, "overview", "title"), url: raw(n, "overview", "url"), notes: raw(n, "details", "notesPlain"), password: raw(n, "details", "password")}
	category := raw(n, "categoryUuid")
	l.out, l.server = onePasswordOut[category], category == onePasswordServer
	if s := raw(n, "state"); s != "" && s != "active" && l.out == "" {
		l.out = "it is archived"
	}
	details, _ := n.Get("details")
	fields, _ := details.Get("loginFields")
	for _, f := range fields.Items {
		switch value := raw(f.Value, "value"); raw(f.Value, "designation") {
		case "username":
			l.user = value
		case "password":
			l.password = value
		}
	}
	sections, _ := details.Get("sections")
	for _, s := range sections.Items {
		fields, _ := s.Value.Get("fields")
		for _, f := range fields.Items {
			l.field(f.Value)
		}
	}
	return l
}

// field takes a field of a section, whose value is one of many types under its own name.
func (l *login) field(f wire.Node) {
	value, _ := f.Get("value")
	if len(value.Items) != 1 {
		return
	}
	name, v := raw(f, "title"), value.Items[0]
	text := raw(value, v.Key)
	if v.Key == "sshKey" {
		text = raw(v.Value, "privateKey")
	}
	switch id := raw(f, "id"); {
	case v.Key == "sshKey" && l.key == "":
		l.key = text
	case v.Key == "totp" && l.totp == "":
		l.totp = text
	case text == "" || v.Key == "date" || v.Key == "monthYear" || v.Key == "menu":
	case id == "username" && l.user == "":
		l.user = text
	case id == "password" && l.password == "":
		l.password = text
	case id == "url" && l.url == "":
		l.url = text
	default:
		l.more = append(l.more, named{name, text})
	}
}
