package importer

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// login is an entry of a password manager, whichever.
type login struct {
	title, user, url, folder string
	server                   bool // it says that it is one: its url is an address
	password, totp, notes    string
	key                      string // a private key
	more                     []named
	where                    string
	out                      string // why it is left out; "" for what is taken
}

type named struct{ name, value string }

// leftOut says that an entry of an export is not taken, and why.
func leftOut(why string) *fault.Error {
	return fault.New(fault.NotSupported, why, "keep it where it is")
}

// items makes the neutral form: of an entry that is a server, the server, and what no server has as an item of its own.
func (l login) items() []Item {
	host := hostOf(l.url)
	if l.out != "" || !l.server || host == "" || l.user == "" || l.password == "" && l.key == "" {
		return []Item{l.item()}
	}
	server := l.machine(host)
	rest := login{title: l.title + " (more)", folder: l.folder, where: l.where, totp: l.totp, notes: l.notes, more: l.more}.item(host, l.password, l.key)
	if shows(l.title, server.Secrets) || shows(l.title, rest.Secrets) { // the two have one title: what it shows of the one, the other's names would
		server.pasted = asIs
	}
	if rest.pasted = server.pasted; rest.Problem != nil {
		return []Item{server}
	}
	return []Item{server, rest}
}

// item makes one: with a value of its own, and a field for each of what there is beside it. No field's name shows a value of the entry, nor one that is kept elsewhere.
func (l login) item(elsewhere ...string) Item {
	if l.out != "" {
		return Item{Name: l.title, Where: l.where, Problem: leftOut(l.out)}
	}
	i := l.empty()
	host := hostOf(l.url)
	if label(host) && !l.server { // nobody is shown where a server is
		i.Labels["site"] = host
	}
	put := func(field, value string) {
		if value == "" {
			return
		}
		name := field
		for n := 2; i.Secrets[name].Len() > 0; n++ {
			behind := "_" + strconv.Itoa(n)
			name = field[:min(len(field), maxField-len(behind))] + behind
		}
		i.Secrets[name] = secret.FromString(value)
	}
	values := spellings(append(elsewhere, l.password, l.user, l.key, l.totp, l.notes)...)
	for _, m := range l.more[:min(len(l.more), kind.MaxFields)] { // an entry of more is refused
		values = append(values, spellings(m.value)...)
	}
	value := l.password
	if value == "" {
		value, l.key = l.key, ""
	}
	put("value", value)
	put("username", l.user)
	put("private_key", l.key)
	put("totp", l.totp)
	put("notes", l.notes)
	if l.server {
		put("host", host)
		values = append(values, spellings(host)...)
	}
	for _, m := range l.more {
		if tells(m.name, values) { // names of fields are as public as titles
			m.name = ""
		}
		put(fieldName(m.name), m.value)
	}
	if len(i.Secrets) == 0 {
		i.Problem = leftOut("it holds nothing secret")
	}
	return i
}

// empty is an item without its values.
func (l login) empty() Item {
	i := Item{Name: l.title, Where: l.where, Attrs: map[string]string{}, Secrets: map[string]secret.Secret{}, Labels: map[string]string{}}
	if label(l.folder) {
		i.Labels["folder"] = l.folder
	}
	return i
}

func (l login) machine(host string) Item {
	i := l.empty()
	i.Kind, i.Attrs["user"] = "server", l.user
	if at := parsed(l.url); at.Port() != "" && at.Scheme != "http" && at.Scheme != "https" {
		i.Attrs["port"] = at.Port()
	}
	i.Secrets["host"] = secret.FromString(host)
	if l.password != "" {
		i.Secrets["password"] = secret.FromString(l.password)
	}
	if l.key != "" {
		i.Secrets["ssh_key"] = secret.FromString(l.key)
	}
	return i
}

// hostOf gives the host of an address: the rest of it may hold a name or a token.
func hostOf(address string) string { return strings.ToLower(parsed(address).Hostname()) }

// parsed takes an address apart, with a scheme or without; what is none has no parts.
func parsed(address string) *url.URL {
	if !strings.Contains(address, "://") {
		address = "x://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return &url.URL{}
	}
	return u
}

// maxField is the longest name of a generic's field.
const maxField = 32

// fieldName makes a generic's field of a title: lower-case letters, digits and `_`, beginning with a letter.
func fieldName(title string) string {
	name := strings.TrimLeft(strings.ReplaceAll(strings.ReplaceAll(handleOf(title), "-", "_"), ".", "_"), "_0123456789")
	name = strings.TrimSuffix(name[:min(len(name), 30)], "_")
	switch name {
	case "", "kind", "project", "labels", "env", "fields": // the layout's own, and the kind's
		return strings.TrimSuffix("field_"+name, "_")
	}
	if strings.HasPrefix(name, "env_") {
		return "field_" + name[:min(len(name), 24)]
	}
	return name
}
