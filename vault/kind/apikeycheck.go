package kind

import (
	"bytes"
	"errors"
)

var errKeyBlanks = errors.New("a key has no blanks inside or around it, and no quotes around it: copy it again")

// checkKey is the Check of keys that are one word.
func checkKey(v []byte) error {
	if len(v) == 0 || bytes.ContainsAny(v, " \t") || bytes.IndexByte([]byte(`"'`), v[0]) >= 0 {
		return errKeyBlanks
	}
	return nil
}
