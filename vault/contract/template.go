package contract

import (
	"errors"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"strings"
)

// Piece is a part of a template: text, or a reference.
type Piece struct {
	Text string
	// Ref is a variable's name, or after @ a fact of the project: @slug, @id, @db, @modules, @port.SERVICE, @image.SERVICE. "": Text.
	Ref string
	As  string // how the value is written: see Ways; "" as it is
	// Else is what stands there where the environment has no such variable; only where Soft.
	Else string
	Soft bool
}

// Ways are what may follow a reference's colon. Those after URL take a database URL apart.
const (
	AsURL      = "url"      // percent-encoded, for a part of a URL
	AsUsername = "username" // of a database URL
	AsPassword = "password"
	AsHost     = "host"
	AsPort     = "port"
	AsDatabase = "database"
	AsAsync    = "async" // the URL with the driver asyncpg
	AsSync     = "sync"  // the URL with no driver
)

// ErrTemplate says that a template cannot be read.
var ErrTemplate = errors.New("contract: a template is text with ${NAME}, ${NAME:url}, ${NAME?text} or ${@slug}; a $ by itself is written $$")

var reference = lazyregexp.New(`^(@?[A-Za-z_][A-Za-z0-9_.-]{0,127})(?::([a-z]+))?(?:\?([^{}$]*))?$`)

var facts = lazyregexp.New(`^@(slug|id|db|modules|(port|image)\.[a-z][a-z0-9_-]{0,63})$`)

var ways = map[string]bool{"": true, AsURL: true, AsUsername: true, AsPassword: true, AsHost: true, AsPort: true, AsDatabase: true, AsAsync: true, AsSync: true}

// ParseTemplate reads a template. Texts side by side are joined.
func ParseTemplate(s string) (out []Piece, err error) {
	var plain strings.Builder
	flush := func() {
		if plain.Len() > 0 {
			out = append(out, Piece{Text: plain.String()})
			plain.Reset()
		}
	}
	for s != "" {
		i := strings.IndexByte(s, '$')
		if i < 0 {
			plain.WriteString(s)
			break
		}
		plain.WriteString(s[:i])
		s = s[i+1:]
		if rest, ok := strings.CutPrefix(s, "$"); ok {
			plain.WriteByte('$')
			s = rest
			continue
		}
		inner, rest, ok := strings.Cut(s, "}")
		if !ok || !strings.HasPrefix(inner, "{") {
			return nil, ErrTemplate
		}
		piece, err := parseReference(inner[1:])
		if err != nil {
			return nil, err
		}
		flush()
		out, s = append(out, piece), rest
	}
	flush()
	return out, nil
}

func parseReference(s string) (Piece, error) {
	m := reference.FindStringSubmatch(s)
	if m == nil || !ways[m[2]] {
		return Piece{}, ErrTemplate
	}
	p := Piece{Ref: m[1], As: m[2], Else: m[3], Soft: strings.Contains(s, "?")}
	if strings.HasPrefix(p.Ref, "@") {
		if !facts.MatchString(p.Ref) || p.Soft {
			return Piece{}, ErrTemplate
		}
		return p, nil
	}
	if CheckName(p.Ref) != "" {
		return Piece{}, ErrTemplate
	}
	return p, nil
}
