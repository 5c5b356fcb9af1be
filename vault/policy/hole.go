package policy

import (
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
)

// A hole is what a caller may fill in a pinned command: `{name:type}` as a whole element or after a literal head (`--count={n:int}`), at most one an
// element, always at its end. `{name:type...}` as the last element takes any number of them. Whatever the type, a value that is an element of its own never begins
// with "-", so it cannot become an option.
//
// Types: int (negative only after a head), uint, slug, word, date (2006-01-02), semver, sha (7–64 hex), bool, enum(a|b|c), relpath (no "..", no
// ":", not absolute), text (printable, at most 200 letters).
type hole struct {
	head    string // literal text before it
	name    string
	typ     string   // as written, for messages: "int", "enum(a|b)"
	members []string // of enum
	many    bool
	accepts func(string) bool
}

// element is one element of a pin: a literal, or a hole.
type element struct {
	literal string
	hole    *hole
}

// Limits of holes and values.
const (
	maxText    = 200  // letters
	maxRelPath = 1024 // bytes
	maxMany    = 64   // values of a repeated hole
)

var (
	holeLike  = lazyregexp.New(`\{[A-Za-z_][A-Za-z0-9_-]*:`)
	holeShape = lazyregexp.New(`^([^{}]*)\{([a-z][a-z0-9_]{0,31}):([a-z]+)(?:\(([^(){}]*)\))?(\.\.\.)?\}$`)
	member    = lazyregexp.New(`^[A-Za-z0-9_.:/=,@%+-]{1,64}$`)

	errHole = errors.New("a hole is `{name:type}` at the end of an element, one an element; the types are int, uint, slug, word, date, semver, sha, bool, enum(a|b), relpath and text")
)

// shapes are the types that a regular expression says in full.
var shapes = map[string]*lazyregexp.Regexp{
	"int":    lazyregexp.New(`^-?(0|[1-9][0-9]{0,17})$`),
	"uint":   lazyregexp.New(`^(0|[1-9][0-9]{0,17})$`),
	"slug":   lazyregexp.New(`^[a-z0-9][a-z0-9_-]{0,63}$`),
	"word":   lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`),
	"semver": lazyregexp.New(`^v?(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-[0-9A-Za-z][0-9A-Za-z.-]{0,63})?(\+[0-9A-Za-z][0-9A-Za-z.-]{0,63})?$`),
	"sha":    lazyregexp.New(`^[0-9a-f]{7,64}$`),
	"bool":   lazyregexp.New(`^(true|false)$`),
}

// checks are the types that need more.
var checks = map[string]func(string) bool{"date": isDate, "relpath": isRelPath, "text": isText}

// parseElement reads one element of a pin. What does not look like a hole is literal, braces and all: '{{.Names}}' is.
func parseElement(s string) (element, error) {
	if !holeLike.MatchString(s) {
		return element{literal: s}, nil
	}
	m := holeShape.FindStringSubmatch(s)
	if m == nil {
		return element{}, errHole
	}
	h := &hole{head: m[1], name: m[2], typ: m[3], many: m[5] != ""}
	if h.many && h.head != "" {
		return element{}, errors.New("a repeated hole is an element of its own")
	}
	listed := strings.Contains(s, "(")
	switch {
	case h.typ == "enum":
		h.members = strings.Split(m[4], "|")
		for _, x := range h.members {
			if !member.MatchString(x) || (h.head == "" && x[0] == '-') {
				return element{}, errors.New("the members of an enum are words without blanks that do not begin with `-`, apart by `|`")
			}
		}
		h.typ += "(" + m[4] + ")"
		h.accepts = h.isMember
	case listed:
		return element{}, errHole
	case shapes[h.typ] != nil:
		h.accepts = shapes[h.typ].MatchString
	case checks[h.typ] != nil:
		h.accepts = checks[h.typ]
	default:
		return element{}, errHole
	}
	return element{hole: h}, nil
}

func (h *hole) isMember(v string) bool {
	for _, m := range h.members {
		if v == m {
			return true
		}
	}
	return false
}

// fits tells whether v may fill the hole.
func (h *hole) fits(v string) bool {
	if v == "" || !utf8.ValidString(v) || (h.head == "" && v[0] == '-') {
		return false
	}
	return h.accepts(v)
}

// loose tells whether the type may carry blanks or characters that a shell would act on.
func (h *hole) loose() bool { return h.typ == "text" || h.typ == "relpath" }

func isDate(v string) bool {
	_, err := time.Parse(time.DateOnly, v)
	return err == nil && len(v) == len(time.DateOnly)
}

// isRelPath accepts a path below the working folder: no "." or ".." segments, no "\" or ":" (scp's hosts, drive letters), no "@file" or "~user" at
// its beginning.
func isRelPath(v string) bool {
	if len(v) > maxRelPath || strings.ContainsAny(v, `\:`) || strings.ContainsAny(v[:1], "-@~/+=") || strings.ContainsFunc(v, notPlain) {
		return false
	}
	for _, s := range strings.Split(v, "/") {
		if s == "" || s == "." || s == ".." {
			return false
		}
	}
	return true
}

// isText accepts printable text that no program would take for an option or a file to read.
func isText(v string) bool {
	return utf8.RuneCountInString(v) <= maxText && !strings.ContainsAny(v[:1], "-@") && !strings.ContainsFunc(v, notPlain)
}

func notPlain(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }

// classOf says what a refused value is like, without saying any of it.
func classOf(v string) string {
	switch {
	case v == "":
		return "empty"
	case !utf8.ValidString(v) || strings.ContainsFunc(v, notPlain):
		return "not printable text"
	case v[0] == '-':
		return "begins with `-`"
	case strings.ContainsAny(v, " "):
		return "has blanks"
	case len(v) > maxText:
		return "long"
	default:
		return "of another shape"
	}
}
