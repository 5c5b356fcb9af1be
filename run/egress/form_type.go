package egress

import (
	"net/http"
	"strings"
)

// bodyKind is what a body is looked through as.
type bodyKind int

const (
	otherBody bodyKind = iota
	fieldBody
	partBody
	jsonBody
	unclearBody // servers may differ in what it is: it is not let through
)

// charsets are those in which a name is written in the bytes that are looked for. Servers decode names by others too: UTF-7, UTF-16, EBCDIC.
var charsets = map[string]bool{"utf-8": true, "utf8": true, "us-ascii": true, "iso-8859-1": true}

// kindOf reads what type a body says to be of, by a rule so narrow that no two servers read it in two ways (threat-model.md 40): one header of one type, its parameters
// each once, their values plain. Go takes `"a\"b"` for a"b, PHP and Rack for a\; Go heeds boundary*=, PHP takes it for the boundary: whoever chooses the words could have
// this proxy and the server cut the body at different places. boundary is set of partBody alone.
func kindOf(h http.Header) (kind bodyKind, boundary string) {
	types := h["Content-Type"]
	for name := range h { // CGI makes the same variable of both
		if name != "Content-Type" && strings.EqualFold(strings.ReplaceAll(name, "_", "-"), "Content-Type") {
			return unclearBody, ""
		}
	}
	if len(types) > 1 {
		return unclearBody, ""
	}
	if len(types) == 0 || strings.TrimSpace(types[0]) == "" { // some servers then take it for a form
		return fieldBody, ""
	}
	t, params, plain := plainType(types[0])
	if !plain {
		return unclearBody, ""
	}
	all, forms := strings.ToLower(types[0]), 0
	for i, word := range []string{"form-urlencoded", "multipart", "json"} {
		if kinds := [...]bodyKind{fieldBody, partBody, jsonBody}; strings.Contains(t, word) {
			kind, forms = kinds[i], forms+1
		} else if kind != partBody && strings.Contains(all, word) { // of a parameter: who looks for the word finds it
			return unclearBody, ""
		}
	}
	charset, there := params["charset"]
	switch boundary = params["boundary"]; {
	case forms > 1, forms == 1 && there && !charsets[strings.ToLower(charset)]:
		return unclearBody, ""
	case kind != partBody:
		if strings.Contains(all, "boundary") {
			return unclearBody, ""
		}
		return kind, ""
	case !strings.HasPrefix(t, "multipart/"), boundary == "", len(boundary) > maxBoundary, found(all, boundary) != 1:
		return unclearBody, ""
	}
	return partBody, boundary
}

// found counts where a server that searches a header for the word, as PHP and Rack do, may find a boundary. Browsers have the word in the value too.
func found(all, boundary string) int {
	low := strings.ToLower(boundary)
	return strings.Count(all, "boundary") - strings.Count(low, "boundary") + strings.Count(low, "boundary=")
}

// plainType reads type/subtype;name=value in lower case but for the values. Names are written small where it matters: servers that look for them differ in that too.
func plainType(s string) (t string, params map[string]string, plain bool) {
	t, rest, more := strings.Cut(s, ";")
	main, sub, _ := strings.Cut(t, "/")
	if !made(main, typeChars) || !made(sub, typeChars) {
		return "", nil, false
	}
	params = map[string]string{}
	for more {
		rest = strings.TrimLeft(rest, " ")
		if rest == "" {
			break
		}
		name, after, is := strings.Cut(rest, "=")
		value := ""
		if strings.HasPrefix(after, `"`) {
			value, rest, is = strings.Cut(after[1:], `"`)
			if more = strings.HasPrefix(rest, ";"); rest != "" && !more || !made(value, quotedChars) {
				return "", nil, false
			}
			rest = strings.TrimPrefix(rest, ";")
		} else if value, rest, more = strings.Cut(after, ";"); !made(value, tokenChars) {
			return "", nil, false
		}
		low := strings.ToLower(name)
		if _, twice := params[low]; !is || twice || !made(name, typeChars) || low == "boundary" && name != low {
			return "", nil, false
		}
		params[low] = value
	}
	return strings.ToLower(t), params, true
}

// What types, names and values may be written with: of RFC 9110's tokens and RFC 2046's boundaries what no server gives a meaning of its own.
const (
	typeChars   = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-+._"
	tokenChars  = typeChars + "!#$&^~|"
	quotedChars = tokenChars + "=/:?<>@"
)

// made tells whether s is something, and of such bytes alone.
func made(s, of string) bool {
	return s != "" && strings.Trim(s, of) == ""
}
