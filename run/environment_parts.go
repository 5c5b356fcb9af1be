package run

import (
	"net/url"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/contract"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/variable"
)

// written gives a secret as a part of a variable: as it is, encoded, or a piece of the database URL that it is. ok is false where there is no such piece.
func written(value secret.Secret, as string) (text []byte, ok bool) {
	b := value.Reveal()
	switch as {
	case "":
		return append([]byte(nil), b...), true
	case contract.AsURL:
		return variable.Escape(b), true
	}
	full := strings.TrimSpace(string(b))
	u, err := url.Parse(full)
	_, rest, has := strings.Cut(full, "://")
	if err != nil || !has || !strings.HasPrefix(u.Scheme, "postgres") {
		return nil, false
	}
	piece := ""
	switch as {
	case contract.AsUsername:
		piece = u.User.Username()
	case contract.AsPassword:
		piece, _ = u.User.Password()
	case contract.AsHost:
		piece = u.Hostname()
	case contract.AsPort:
		if piece = u.Port(); piece == "" {
			piece = "5432"
		}
	case contract.AsDatabase:
		piece = strings.TrimPrefix(u.Path, "/")
	case contract.AsAsync:
		piece = "postgresql+asyncpg://" + renamed(rest, "sslmode", "ssl", "channel_binding")
	case contract.AsSync:
		piece = "postgresql://" + renamed(rest, "ssl", "sslmode", "")
	}
	return []byte(piece), piece != ""
}

// renamed gives a URL's rest with one parameter under another name, where its value is one of libpq's words for it, and without another. SQLAlchemy hands what stands there to asyncpg.connect, which
// takes those words as ssl and refuses libpq's own names; libpq refuses asyncpg's.
func renamed(rest, from, to, without string) string {
	before, query, has := strings.Cut(rest, "?")
	if !has {
		return rest
	}
	var kept []string
	for _, part := range strings.Split(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		switch {
		case name == from && slices.Contains(sslWords, value):
			part = to + "=" + value
		case name == without && without != "":
			continue
		}
		kept = append(kept, part)
	}
	if len(kept) == 0 {
		return before
	}
	return before + "?" + strings.Join(kept, "&")
}

var sslWords = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
