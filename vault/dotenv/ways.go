package dotenv

import (
	"bytes"
	"unicode"

	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
)

// quoted writes v between quotes, each byte as esc says; nil: as it is.
func quoted(quote byte, v []byte, esc func(c byte) string) []byte {
	out := make([]byte, 0, 4*len(v)+2)
	out = append(out, quote)
	for _, c := range v {
		if s := esc(c); s != "" {
			out = append(out, s...)
		} else {
			out = append(out, c)
		}
	}
	return append(out, quote)
}

func as(from byte, to string) func(byte) string {
	return func(c byte) string {
		if c == from {
			return to
		}
		return ""
	}
}

func plain(byte) string { return "" }

// shell: within single quotes a shell reads every byte as it is, but the quote itself.
func shell(v []byte) []byte { return quoted('\'', v, as('\'', `'\''`)) }

// single is between single quotes, without anything that a reader could take for the end or for an escape.
func single(v []byte) []byte {
	if bytes.ContainsAny(v, `'\`) {
		return nil
	}
	return quoted('\'', v, plain)
}

// composeDouble: between double quotes Compose reads escapes, and then replaces variables; $$ is a dollar. The beginnings and ends of lines stay as they are.
func composeDouble(v []byte) []byte {
	return quoted('"', v, func(c byte) string {
		switch c {
		case '\\':
			return `\\`
		case '"':
			return `\"`
		case '$':
			return `$$`
		}
		return ""
	})
}

// interpolated is what python-dotenv replaces, whatever the quotes.
var interpolated = lazyregexp.New(`\$\{[^}]*\}`)

// pythonSingle: python-dotenv turns \' and \\ back, and takes a backslash before the closing quote for part of an escape, as far as the next quote of the file.
// Files are opened as text, which makes line feeds of carriage returns.
func pythonSingle(v []byte) []byte {
	if interpolated.Match(v) || bytes.HasSuffix(v, []byte(`\`)) || bytes.IndexByte(v, '\r') >= 0 {
		return nil
	}
	return quoted('\'', v, func(c byte) string {
		switch c {
		case '\'':
			return `\'`
		case '\\':
			return `\\`
		}
		return ""
	})
}

// pythonDouble is for carriage returns, which only an escape carries.
func pythonDouble(v []byte) []byte {
	if interpolated.Match(v) || bytes.HasSuffix(v, []byte(`\`)) {
		return nil
	}
	return quoted('"', v, func(c byte) string {
		switch c {
		case '"':
			return `\"`
		case '\\':
			return `\\`
		case '\r':
			return `\r`
		}
		return ""
	})
}

// pythonBare is for a final backslash.
func pythonBare(v []byte) []byte {
	if interpolated.Match(v) {
		return nil
	}
	return bare(v)
}

// bare is without quotes: one line in which nothing ends it, begins a comment or a quote, or is trimmed.
func bare(v []byte) []byte {
	if len(v) == 0 || bytes.ContainsAny(v, "\r\n\"'#") || bytes.ContainsFunc(v, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return nil
	}
	return bytes.Clone(v)
}

// goSingle: godotenv makes line feeds of \r\n, and takes a backslash before the closing quote for an escape, which it then does not undo.
func goSingle(v []byte) []byte {
	if bytes.IndexByte(v, '\'') >= 0 || bytes.HasSuffix(v, []byte(`\`)) || bytes.Contains(v, []byte("\r\n")) {
		return nil
	}
	return quoted('\'', v, plain)
}

// goDouble: godotenv trims quotes at the end of what is quoted, the escaped ones too.
func goDouble(v []byte) []byte {
	if bytes.HasSuffix(v, []byte(`\`)) || bytes.HasSuffix(v, []byte(`"`)) {
		return nil
	}
	return quoted('"', v, func(c byte) string {
		switch c {
		case '\\':
			return `\\`
		case '"':
			return `\"`
		case '$':
			return `\$`
		case '\r':
			return `\r`
		}
		return ""
	})
}

// goBare is for what ends in a quote or a backslash and holds no dollar.
func goBare(v []byte) []byte {
	if bytes.IndexByte(v, '$') >= 0 || bytes.ContainsAny(v[:min(1, len(v))], `'"`) {
		return nil
	}
	return bareWithQuotes(v)
}

func bareWithQuotes(v []byte) []byte {
	if len(v) == 0 || bytes.ContainsAny(v, "\r\n#") || bytes.ContainsFunc(v, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return nil
	}
	return bytes.Clone(v)
}
