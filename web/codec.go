package web

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// maxBody bounds a request: every field of a resource at its limit, quoted.
const maxBody = 4 << 20

// read decodes the body strictly and wipes it: one JSON object, every name known, exact and given once, valid UTF-8, not deep. Errors never say what
// was in it.
func read(r *http.Request, into any) error {
	body, err := all(r)
	defer clear(body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return fault.New(fault.TooLarge, "the request is larger than 4 MiB", "")
	case err != nil:
		return fault.New(fault.InvalidArgument, "the request could not be read", "send it again")
	case !utf8.Valid(body): // Go's decoder would put U+FFFD in the place of what it cannot read, and the vault would keep that as the value
		return fault.New(fault.InvalidArgument, "the request is not UTF-8 text", "keep binary data as base64")
	}
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return fault.New(fault.InvalidArgument, "the request has no JSON object as its body", "see the API's description")
	}
	if err := mcp.Decode(body, into); err != nil {
		return fault.Of(err).WithNext("see the API's description")
	}
	return nil
}

// all reads the body into one buffer, so that no copy of a value stays behind where a buffer grew.
func all(r *http.Request) ([]byte, error) {
	if n := r.ContentLength; n >= 0 && n <= maxBody {
		body := make([]byte, n)
		_, err := io.ReadFull(r.Body, body)
		return body, err
	}
	return io.ReadAll(r.Body)
}

// wipe erases values that a request brought, also where it is refused before the vault takes them.
func wipe(values map[string]api.Value) {
	for _, v := range values {
		v.Wipe()
	}
}

func writeJSON(w http.ResponseWriter, status int, reply any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(reply) // the peer may have gone
}

// fail writes err as a problem, and logs what a log may know: the code and the types of the causes.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.Of(err)
	code := f.Code.Of().HTTP
	var other withStatus
	if errors.As(err, &other) {
		code = other.code
	}
	if code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="zavhoz"`)
	}
	retryAfter(w, f)
	if code >= 500 && f.Code != fault.VaultLocked {
		s.o.Log.Error("request failed", "method", r.Method, "route", r.Pattern, "code", string(f.Code), "request", w.Header().Get("X-Request-Id"), "cause", fault.Cause(err))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(api.Problem{ // the peer may have gone
		Type: "about:blank", Title: title(code), Status: code, Code: string(f.Code), Detail: f.Message, Next: f.Next, Details: f.Details, Request: w.Header().Get("X-Request-Id"),
	})
}

// title is the status in words; 499 (the caller went away) is not net/http's.
func title(status int) string {
	return cmp.Or(http.StatusText(status), "Client Closed Request")
}
