package run

import (
	"context"
	"net/http"
	"time"

	"github.com/zavhoz/zavhoz/run/capture"
	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// HTTPRequest asks for one request that zavhoz itself makes: no process starts.
type HTTPRequest struct {
	Actor   vault.Actor
	Ref     string // handle or lease id
	Method  string // of policy.Methods
	URL     string // a path with its query, or an absolute https URL on a host of the resource
	Headers map[string]string
	Body    []byte
	Capture *capture.Spec // nil: nothing
	Timeout time.Duration // 0: 60 s; at most 10 min
}

// HTTPResult is what may be told of a reply. Everything in it is redacted and made harmless to read.
type HTTPResult struct {
	RunID       string
	Status      int
	Headers     map[string]string // those of the allow-list
	ContentType string
	Body        string // "" where it is withheld or not text
	BodyBytes   int64  // of the reply, as far as it was read
	Binary      bool   // the body is not text, so it is not shown
	Withheld    bool   // the body is not shown: something was captured from it, or the redactor had to mask too much
	Truncated   bool   // more follows: Get reads what is kept, the rest was not read
	Redactions  int
	Foreign     int // what looked like somebody else's secret, and was masked
	Captured    *capture.Kept
	Duration    time.Duration
}

// Requester makes the brokered requests of one run (run/egress.Proxy): it holds the policy, adds the credential and records.
type Requester interface {
	RoundTrip(ctx context.Context, handle string, r *http.Request) (*http.Response, error)
	Close() error
}

// RequestPlan is what a Requester is opened for.
type RequestPlan struct {
	RunID    string
	Resource vault.Resource
	MintKeys bool                      // endpoints that make or show keys may be reached: what they give is captured
	Matcher  func() []*redact.Matcher // for the reply; the engine redacts it again
	Counted  func(redactions int)
}

// Request makes one request with a resource and waits for its reply. An error is a refusal, or says why there is no reply.
func (e *Engine) Request(ctx context.Context, r HTTPRequest) (HTTPResult, error) {
	return HTTPResult{}, fault.New(fault.NotSupported, "requests are not wired", "")
}
