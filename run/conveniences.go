package run

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/zavhoz/zavhoz/run/sandbox"
)

// systemSettings is where git looks for settings of the whole machine.
const systemSettings = "/etc/gitconfig"

// gitIdentity lets git commit in a run: by the agent's name, as the weakest of git's settings, so that what a repository or a home says of its author holds. The
// address is one that no mail reaches (RFC 2606).
func (o *outfit) gitIdentity() {
	name := identityWord(o.l.record.Actor.Name)
	path := o.box.Home() + "/.zavhoz/gitconfig"
	text := fmt.Sprintf("[include]\n\tpath = %s\n[user]\n\tname = %s via Zavhoz\n\temail = %s@zavhoz.invalid\n", systemSettings, name, name)
	o.files = append(o.files, sandbox.File{Path: path, Mode: 0o444, Data: []byte(text)})
	o.extra = append(o.extra, "GIT_CONFIG_SYSTEM="+path)
}

// identityWord is a name as settings of git can hold it, whatever characters it has.
func identityWord(name string) string {
	word := strings.Trim(strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-", c) {
			return c
		}
		return '-'
	}, name), ".-")
	if word == "" {
		return "agent"
	}
	return word
}

// soleDatabase lets psql, and what else goes by libpq's variables, find the run's database without being told, where it has exactly one.
func (o *outfit) soleDatabase() {
	if len(o.fronts) != 1 {
		return
	}
	u, err := url.Parse(o.fronts[0])
	if err != nil || u.User == nil {
		return
	}
	password, _ := u.User.Password()
	for name, value := range map[string]string{
		"PGHOST": u.Hostname(), "PGPORT": u.Port(), "PGUSER": u.User.Username(), "PGPASSWORD": password, "PGDATABASE": strings.TrimPrefix(u.Path, "/"), "PGSSLMODE": u.Query().Get("sslmode"),
	} {
		if value != "" {
			o.extra = append(o.extra, name+"="+value)
		}
	}
}
