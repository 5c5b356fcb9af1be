package kind

import (
	"bytes"
	"errors"
	"unicode"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// bad is the refusal of a value: the field, what is expected, and nothing of the value.
func (f Field) bad(why string) *fault.Error {
	code := fault.SecretInvalid
	if !f.Class.Sealed() {
		code = fault.InvalidArgument
	}
	return fault.New(code, f.Name+" is not valid: "+why, "give another value of "+f.Name).With("field", f.Name)
}

// accept puts one value into canonical form and checks it by itself. It may change v in place.
func (f Field) accept(v []byte) ([]byte, error) {
	v = f.trim(v)
	if len(v) == 0 && !f.Class.Sealed() {
		return nil, nil // an empty attribute is none
	}
	if err := f.plain(v); err != nil {
		return nil, err
	}
	if f.Clean != nil {
		v = f.Clean(v)
	}
	if err := f.sized(v); err != nil {
		return nil, err
	}
	if f.Check != nil {
		if err := f.Check(v); err != nil {
			var own *fault.Error
			if errors.As(err, &own) {
				return nil, own.With("field", f.Name)
			}
			return nil, f.bad(err.Error())
		}
	}
	return v, nil
}

// trim does what the package says of pasted values.
func (f Field) trim(v []byte) []byte {
	if !f.Multiline {
		return bytes.TrimRight(v, "\r\n")
	}
	out := v[:0]
	for i, c := range v {
		if c != '\r' || i+1 >= len(v) || v[i+1] != '\n' {
			out = append(out, c)
		}
	}
	clear(v[len(out):])
	return out
}

// sized refuses what is too short to be redacted, and what is too long.
func (f Field) sized(v []byte) error {
	least := f.MinLen
	if least == 0 && f.Class == Secret {
		least = minSecret
	}
	if len(v) < least {
		if least == minSecret {
			return f.bad("it is shorter than 8 bytes, and what is so short cannot be kept out of a command's output reliably")
		}
		return f.bad("it is too short")
	}
	most := MaxField
	if f.Class == Public {
		most = MaxAttr
		if f.Multiline {
			most = MaxField / 4
		}
	}
	if len(v) > most {
		return f.bad("it is too long")
	}
	return nil
}

// plain refuses what is not text: zero bytes end a value early in an environment, control characters and letters that cannot be seen are mistakes
// of copying, and steer terminals.
func (f Field) plain(v []byte) error {
	if !utf8.Valid(v) {
		return f.bad("it is not UTF-8 text; keep binary data as base64")
	}
	for i := 0; i < len(v); {
		r, n := utf8.DecodeRune(v[i:])
		i += n
		if f.Multiline && (r == '\n' || r == '\t') {
			continue
		}
		switch {
		case !f.Multiline && (r == '\n' || r == '\r'):
			return f.bad("it is one line, and this has more")
		case r == 0 || unicode.IsControl(r):
			return f.bad("it holds a zero byte or a control character")
		case !unicode.IsPrint(r):
			return f.bad("it holds a character that cannot be seen: copy the value again")
		}
	}
	return nil
}
