package importer

import (
	"net/url"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
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

// item makes the neutral form: a value of its own where there is but one, else one field each.
func (l login) item() Item {
	i := Item{Name: l.title, Where: l.where, Attrs: map[string]string{}, Secrets: map[string]secret.Secret{}, Labels: map[string]string{}}
	if l.out != "" {
		return Item{Name: l.title, Where: l.where, Problem: leftOut(l.out)}
	}
	if label(l.folder) {
		i.Labels["folder"] = l.folder
	}
	host := hostOf(l.url)
	if l.server && host != "" && l.user != "" && (l.password != "" || l.key != "") {
		return l.machine(i, host)
	}
	if label(host) {
		i.Labels["site"] = host
	}
	put := func(field, value string) {
		if value == "" {
			return
		}
		name := field
		for n := 2; ; n++ {
			if _, taken := i.Secrets[name]; !taken {
				break
			}
			name = field + "_" + string(rune('0'+n%10))
			if n > 9 {
				return
			}
		}
		i.Secrets[name] = secret.FromString(value)
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
	for _, m := range l.more {
		put(fieldName(m.name), m.value)
	}
	if len(i.Secrets) == 0 {
		i.Problem = leftOut("it holds nothing secret")
	}
	return i
}

func (l login) machine(i Item, host string) Item {
	i.Kind, i.Attrs["user"] = "server", l.user
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
func hostOf(address string) string {
	if !strings.Contains(address, "://") {
		address = "x://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

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
