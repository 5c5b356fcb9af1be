package run

import (
	"net/url"
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
		piece = "postgresql+asyncpg://" + rest
	case contract.AsSync:
		piece = "postgresql://" + rest
	}
	return []byte(piece), piece != ""
}
