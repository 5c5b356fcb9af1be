package rotate

import (
	"bytes"
	"context"

	"github.com/zavhoz/zavhoz/run/postgres"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// passwordLength is of a database password, in letters and digits: 238 bits.
const passwordLength = 40

// postgresPassword exchanges the password of the role that the URL logs in as. The old one ends in the moment of the change.
var _ = register(Method{
	Name:    "postgres_password",
	Summary: "a new random password for the database's user; the server gets a verifier of it only",
	Rank:    20, Ends: true, Fields: []string{"url", "password"},
	Serves: func(r vault.Resource, _ Request) bool {
		_, has := r.Sealed["password"]
		return r.Kind == "database" && r.Attrs["engine"] == "postgres" && has
	},
	Steps: func(vault.Resource, Request) []string {
		return []string{"make a random password, and seal the new URL", "log in with the old password and set the new one (ALTER ROLE, a SCRAM verifier): the old one ends",
			"log in anew with the new password", "the resource has the new URL from then on; sessions that are open go on"}
	},
	Make:    newURL,
	Install: setPassword,
	Prove:   func(ctx context.Context, j *Job) error { return j.account(j.New).Try(ctx) },
	Undo:    resetPassword,
})

// account is the resource's database with the URL that open gives.
func (j *Job) account(open func(field string) (secret.Secret, error)) visitor {
	e, err := reach(j.Resource)
	if err != nil {
		return visitor{err: err}
	}
	dial, err := j.t.o.Dialer(j.Resource)
	return visitor{postgres.Account{Handle: j.Resource.Handle, URL: func() (secret.Secret, error) { return open("url") }, Roots: e.Roots, Dial: dial}, err}
}

// visitor is an account, or why there is none.
type visitor struct {
	postgres.Account
	err error
}

// Try logs in.
func (v visitor) Try(ctx context.Context) error {
	if v.err != nil {
		return v.err
	}
	return v.Account.Try(ctx)
}

// newURL makes the password, and the old URL with it.
func newURL(_ context.Context, j *Job, _ Request) (map[string]secret.Secret, error) {
	old, err := j.Old("url")
	if err != nil {
		return nil, err
	}
	defer old.Wipe()
	password, err := random(passwordLength, "")
	if err != nil {
		return nil, err
	}
	u, ok := withPassword(old, password)
	if !ok {
		password.Wipe()
		return nil, fault.New(fault.SecretInvalid, j.Resource.Handle+": its URL has no user and password to exchange", "give a new URL yourself: --method guided --secret url=-").With("field", "url")
	}
	return map[string]secret.Secret{"url": u, "password": password}, nil // the password by itself too: the redactor must know it before the resource does
}

// withPassword puts another password into a URL and leaves every other byte.
func withPassword(u, password secret.Secret) (secret.Secret, bool) {
	b := u.Reveal()
	p, ok := kind.ParseDatabaseURL(b)
	clear(p.Password)
	scheme := bytes.Index(b, []byte("://"))
	at := bytes.IndexByte(b, '@')
	if !ok || p.User == "" || at < scheme {
		return secret.Secret{}, false
	}
	colon := bytes.IndexByte(b[scheme+3:at], ':')
	if colon < 0 {
		return secret.Secret{}, false
	}
	head, tail := b[:scheme+3+colon+1], b[at:]
	out := make([]byte, 0, len(head)+password.Len()+len(tail)) // never grown: no copy stays behind
	return secret.New(append(append(append(out, head...), password.Reveal()...), tail...)), true
}

// setPassword sets the new password by the old one, unless a try before has.
func setPassword(ctx context.Context, j *Job) error { return exchange(ctx, j, j.New, j.Old) }

// resetPassword sets the old one again.
func resetPassword(ctx context.Context, j *Job) error { return exchange(ctx, j, j.Old, j.New) }

// exchange makes `to` the password that works. Which of the two works is looked at, not remembered: a stop may have come between the change and its record.
func exchange(ctx context.Context, j *Job, to, from func(string) (secret.Secret, error)) error {
	target := j.account(to)
	err := target.Try(ctx)
	if fault.CodeOf(err) != fault.RemoteAuthFailed {
		return err // it works already, or it cannot be told
	}
	password, err := to("password")
	if err != nil {
		return err
	}
	defer password.Wipe()
	source := j.account(from)
	if source.err != nil {
		return source.err
	}
	if err := source.SetPassword(ctx, password); err != nil {
		return err
	}
	return target.Try(ctx)
}
