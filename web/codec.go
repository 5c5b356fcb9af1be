package web

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// maxBody bounds a request: every field of a resource at its limit, quoted.
const maxBody = 4 << 20

// read decodes the body strictly and wipes it. Errors never say what was in it.
func read(r *http.Request, into any) error {
	body, err := io.ReadAll(r.Body)
	defer clear(body)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return fault.New(fault.TooLarge, "the request is larger than 4 MiB", "")
	}
	if err != nil {
		return fault.New(fault.InvalidArgument, "the request could not be read", "send it again")
	}
	dec := json.NewDecoder(newClearing(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fault.New(fault.InvalidArgument, "the request is not the JSON that this call takes", "see the API's description")
	}
	if dec.More() {
		return fault.New(fault.InvalidArgument, "the request has more than one JSON value", "")
	}
	return nil
}

// clearing reads from a buffer that its owner wipes afterwards.
type clearing struct{ rest []byte }

func newClearing(b []byte) *clearing { return &clearing{b} }

func (c *clearing) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
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
	m := f.Code.Of()
	if s.o.Log != nil && m.HTTP >= 500 {
		s.o.Log.Error("request failed", "method", r.Method, "route", r.Pattern, "code", string(f.Code), "cause", fault.Cause(err))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(m.HTTP)
	_ = json.NewEncoder(w).Encode(api.Problem{
		Type: "about:blank", Title: http.StatusText(m.HTTP), Status: m.HTTP, Code: string(f.Code), Detail: f.Message, Next: f.Next, Details: f.Details,
	})
}
