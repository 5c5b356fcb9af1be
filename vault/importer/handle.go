package importer

import (
	"strings"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/kind"
)

// cyrillic is how letters of titles are written in handles; what is neither here nor ASCII becomes `_`.
var cyrillic = strings.NewReplacer("а", "a", "б", "b", "в", "v", "г", "g", "д", "d", "е", "e", "ё", "e", "ж", "zh", "з", "z", "и", "i", "й", "y", "к", "k", "л", "l", "м", "m", "н", "n",
	"о", "o", "п", "p", "р", "r", "с", "s", "т", "t", "у", "u", "ф", "f", "х", "kh", "ц", "ts", "ч", "ch", "ш", "sh", "щ", "sch", "ъ", "", "ы", "y", "ь", "", "э", "e", "ю", "yu", "я", "ya",
	"і", "i", "ї", "i", "є", "e", "ґ", "g", "ў", "u")

// nameless is the handle of what has no name that may be shown.
const nameless = "imported"

// handleOf makes a legal handle of a name or a title, always the same. A name that looks like a secret gives nameless: handles are shown.
func handleOf(name string) string {
	if _, looks := kind.LooksSecret(name); looks {
		return nameless
	}
	h := spelled(name)
	if h = strings.TrimRight(h[:min(len(h), maxHandle)], "_-."); vault.CheckHandle(h) != nil {
		return nameless
	}
	return h
}

// spelled writes a text in the characters of handles, at any length.
func spelled(text string) string {
	var b strings.Builder
	for _, r := range cyrillic.Replace(strings.ToLower(text)) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() == 0:
		case r == '-' || r == '.':
			b.WriteRune(r)
		case !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
		}
	}
	return strings.TrimRight(b.String(), "_-.")
}

// maxHandle leaves room for a number behind.
const maxHandle = 60
