package wire

import "bytes"

// Members calls fn for each member of the object that b begins with, until fn returns false. The result is false when b is no object, or
// is cut or malformed before fn was done; it never panics, whatever b is. Values are not checked beyond their extent.
func Members(b []byte, fn func(key, value []byte) bool) bool {
	return members(b, func([]byte) {}, fn)
}

// members is Members that tells each key before it looks at the value, which may be cut.
func members(b []byte, named func(key []byte), fn func(key, value []byte) bool) bool {
	if len(b) == 0 || b[0] != '{' {
		return false
	}
	i := space(b, 1)
	if i < len(b) && b[i] == '}' {
		return true
	}
	for i < len(b) {
		end := str(b, i)
		if end < 0 {
			return false
		}
		key := b[i:end]
		i = space(b, end)
		if i >= len(b) || b[i] != ':' {
			return false
		}
		named(key)
		i = space(b, i+1)
		end = value(b, i)
		if end < 0 {
			return false
		}
		if !fn(key, b[i:end]) {
			return true
		}
		i = space(b, end)
		if i >= len(b) {
			return false
		}
		if b[i] == '}' {
			return true
		}
		if b[i] != ',' {
			return false
		}
		i = space(b, i+1)
	}
	return false
}

// Elements calls fn for each element of the array that b begins with, until fn returns false. It is as careful as Members.
func Elements(b []byte, fn func(i int, value []byte) bool) bool {
	if len(b) == 0 || b[0] != '[' {
		return false
	}
	i := space(b, 1)
	if i < len(b) && b[i] == ']' {
		return true
	}
	for n := 0; i < len(b); n++ {
		end := value(b, i)
		if end < 0 {
			return false
		}
		if !fn(n, b[i:end]) {
			return true
		}
		i = space(b, end)
		if i >= len(b) || b[i] != ',' {
			return i < len(b) && b[i] == ']'
		}
		i = space(b, i+1)
	}
	return false
}

// value gives the end of the value at i, or -1.
func value(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return str(b, i)
	case '{', '[':
		return nested(b, i)
	}
	start := i
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	if i == start || i == len(b) {
		return -1
	}
	return i
}

func nested(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = str(b, i); i < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}

// str gives the end of the string at i, or -1.
func str(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; ; {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		end := i + n
		slashes := 0
		for k := end - 1; k >= i && b[k] == '\\'; k-- {
			slashes++
		}
		if slashes%2 == 0 {
			return end + 1
		}
		i = end + 1
	}
}

// deep tells whether valid JSON nests deeper than MaxDepth.
func deep(b []byte) bool {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			end := str(b, i)
			if end < 0 {
				return false
			}
			i = end - 1
		case '{', '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}
