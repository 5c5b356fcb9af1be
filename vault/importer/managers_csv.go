package importer

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxRows is how many entries an export has at most.
const maxRows = 200_000

// columns are what the two programs call them, and what they are to us. A column that is not here is not a secret's: its name is said, so that nobody takes it for imported.
var columns = map[string]string{
	"title": "title", "name": "title", "url": "url", "urls": "url", "website": "url", "login_uri": "url", "username": "user", "login_username": "user",
	"password": "password", "login_password": "password", "otpauth": "totp", "one-time password": "totp", "login_totp": "totp", "notes": "notes", "notesplain": "notes",
	"folder": "folder", "tags": "folder", "vault": "folder", "type": "type", "fields": "fields", "archived": "archived",
	"favorite": "", "favourite": "", "reprompt": "", "scope": "",
}

// isExport tells whether a first line is the head of such an export.
func isExport(head []byte) (Format, bool) {
	h := "," + strings.ToLower(strings.ReplaceAll(string(bytes.TrimSpace(head)), `"`, "")) + ","
	switch {
	case strings.Contains(h, ",login_password,") && strings.Contains(h, ",name,"):
		return Bitwarden, true
	case strings.Contains(h, ",title,") && strings.Contains(h, ",password,"):
		return OnePassword, true
	}
	return "", false
}

// ReadCSV reads an export of 1Password or Bitwarden: a head, and one entry a row, quoted as CSV is. Errors: invalid_argument with the line, too_large.
func ReadCSV(b []byte) ([]Item, error) {
	r := csv.NewReader(bytes.NewReader(b))
	r.ReuseRecord = true
	head, err := r.Read()
	if err != nil {
		return nil, csvFault(err)
	}
	as := make([]string, len(head))
	seen := map[string]bool{}
	for i, name := range head {
		if as[i] = columns[strings.ToLower(strings.TrimSpace(name))]; as[i] != "" && seen[as[i]] && as[i] != "folder" {
			return nil, broken("two columns of the file are the same", "give what the other program exported, as it is")
		}
		seen[as[i]] = true
	}
	if !seen["title"] || !seen["password"] {
		return nil, broken("the file has no columns for titles and passwords", "export it as CSV from 1Password or Bitwarden, with its first line")
	}
	var out []Item
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err == nil && len(out) >= maxRows {
			err = errDeep
		}
		if err != nil {
			Wipe(out)
			return nil, csvFault(err)
		}
		line, _ := r.FieldPos(0)
		out = append(out, rowOf(as, row, fmt.Sprintf("line %d", line)).items()...)
	}
}

func csvFault(err error) error {
	var p *csv.ParseError
	if errors.As(err, &p) { // its own text would do, but says nothing more
		return broken(fmt.Sprintf("line %d is no valid CSV", p.Line), "give what the other program exported, as it is").With("line", p.Line)
	}
	return syntax(err, "CSV")
}

// rowOf takes a row apart; strings are copied, for the reader uses its memory again.
func rowOf(as, row []string, where string) login {
	l := login{where: where}
	for i, value := range row {
		if i >= len(as) {
			break
		}
		switch value = strings.Clone(value); as[i] {
		case "title":
			l.title = value
		case "url":
			l.url, _, _ = strings.Cut(value, ",")
		case "user":
			l.user = value
		case "password":
			l.password = value
		case "totp":
			l.totp = value
		case "notes":
			l.notes = value
		case "folder":
			if l.folder == "" {
				l.folder, _, _ = strings.Cut(value, ";")
			}
		case "fields":
			l.more = fieldLines(value)
		case "type":
			if value != "login" && value != "note" && value != "" {
				l.out = "it is neither a login nor a note"
			}
		case "archived":
			if strings.EqualFold(value, "true") {
				l.out = "it is archived"
			}
		}
	}
	return l
}

// fieldLines reads Bitwarden's own fields of a CSV export: "name: value", one a line.
func fieldLines(s string) (out []named) {
	for line := range strings.Lines(s) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ": ")
		if ok {
			out = append(out, named{name, value})
		} else if line = strings.TrimSpace(line); line != "" {
			out = append(out, named{"field", line})
		}
	}
	return out
}
