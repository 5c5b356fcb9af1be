package tools

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/vault/fault"
)

var _ = register(httpRequestWithResource)

// maxRequestSeconds is the longest that a reply is waited for.
const maxRequestSeconds = 600

type httpIn struct {
	Handle   string            `json:"handle"`
	Method   string            `json:"method"`
	URL      string            `json:"url"`
	Headers  map[string]string `json:"headers"`
	Body     string            `json:"body"`
	Capture  *captureIn        `json:"capture"`
	TimeoutS int64             `json:"timeout_s"`
}

// httpOut is a reply as a model sees it, redacted before it is cut.
type httpOut struct {
	RunID       string            `json:"run_id"`
	Status      int               `json:"status"`
	Headers     map[string]string `json:"headers"`
	ContentType string            `json:"content_type"`
	Body        string            `json:"body"` // "" where it is withheld or not text
	BodyBytes   int64             `json:"body_bytes"`
	Truncated   bool              `json:"truncated"`
	NextOffset  int64             `json:"next_offset"`
	Withheld    bool              `json:"withheld"`
	Redactions  int               `json:"redactions"`
	Foreign     int               `json:"foreign_secrets"` // what looked like a secret of somebody else's, and was masked
	Captured    *capturedOut      `json:"captured"`
	DurationMS  int64             `json:"duration_ms"`
}

func httpRequestWithResource(d Deps) mcp.Tool {
	return mcp.Tool{
		Name:  "http_request_with_resource",
		Title: "Make an HTTP request with a resource",
		Description: "Makes one https request for you with the credential of a resource put in by zavhoz, and gives status, headers and redacted body. No command runs, no placeholder is needed: leave login headers out. " +
			"url is a path at the resource's host, or an absolute address on one of its hosts. Redirects are not followed. A body that is JSON is sent as JSON. " +
			"capture puts new secrets of the reply (a key that the API just made) into a new resource of yours instead of showing them; the reply is then not shown. " +
			"kind api_key is usable at once, at the same host; generic waits for the operator. Endpoints that make or show keys need it. " +
			`Example: {"handle":"openai_main","method":"GET","url":"/v1/models"}`,
		Input: schema(`"handle":{"type":"string","maxLength":64,"description":"handle or lease id"},`+
			`"method":{"type":"string","enum":["GET","HEAD","POST","PUT","PATCH","DELETE","OPTIONS"]},`+
			`"url":{"type":"string","minLength":1,"maxLength":8192,"description":"/path?query, or https://…"},`+
			`"headers":{"type":"object","maxProperties":32,"additionalProperties":{"type":"string","maxLength":1024}},`+
			`"body":{"type":"string","maxLength":1048576},`+
			captureProperty(`"generic","api_key"`, "of an api_key the one field is key")+`,`+
			`"timeout_s":{"type":"integer","minimum":1,"maximum":600,"description":"default 60"}`, "handle", "method", "url"),
		Output: schema(`"run_id":{"type":"string"},"status":{"type":"integer"},"headers":{"type":"object","additionalProperties":{"type":"string"}},"content_type":{"type":"string"},`+
			`"body":{"type":"string"},"body_bytes":{"type":"integer"},"truncated":{"type":"boolean"},"next_offset":{"type":"integer"},"withheld":{"type":"boolean"},"redactions":{"type":"integer"},`+
			`"foreign_secrets":{"type":"integer"},`+capturedProperty+`,"duration_ms":{"type":"integer"}`,
			"run_id", "status", "headers", "content_type", "body", "body_bytes", "truncated", "next_offset", "withheld", "redactions", "foreign_secrets", "captured", "duration_ms"),
		Annotations: mcp.Annotations{Destructive: true, OpenWorld: true},
		Timeout:     maxRequestSeconds*time.Second + callSlack,
		Handle: func(ctx context.Context, c *mcp.Call) (mcp.Result, error) {
			in, err := input[httpIn](c)
			if err != nil {
				return mcp.Result{}, err
			}
			if err := closed(c); err != nil {
				return mcp.Result{}, err
			}
			who := actor(c, "")
			res, err := d.Runner.Request(ctx, run.HTTPRequest{
				Actor: who, Ref: in.Handle, Method: in.Method, URL: in.URL, Headers: in.Headers, Body: []byte(in.Body), Capture: in.Capture.spec(), Timeout: time.Duration(in.TimeoutS) * time.Second,
			})
			if err == nil {
				return httpView(res), nil
			}
			if res.RunID != "" { // it was recorded, and the engine wrote down how it ended
				f := fault.Of(err).With("run_id", res.RunID)
				if res.Status != 0 {
					f = f.With("status", res.Status)
				}
				return mcp.Result{}, f
			}
			if slices.Contains([]fault.Code{fault.HostNotAllowed, fault.HTTPSRequired}, fault.CodeOf(err)) {
				return mcp.Result{}, noteRefused(ctx, d, who, in.Handle, err)
			}
			return askedFor(c, err), refused(ctx, d, who, []string{in.Handle}, err)
		},
	}
}

// httpView is the one place in which a reply to a request becomes a reply to a model.
func httpView(r run.HTTPResult) mcp.Result {
	out := httpOut{
		RunID: r.RunID, Status: r.Status, Headers: nonNil(r.Headers), ContentType: r.ContentType, Body: r.Body, BodyBytes: r.BodyBytes, Truncated: r.Truncated, NextOffset: r.NextOffset,
		Withheld: r.Withheld, Redactions: r.Redactions, Foreign: r.Foreign, Captured: capturedView(r.Captured), DurationMS: r.Duration.Milliseconds(),
	}
	text := fmt.Sprintf("Status %d", r.Status)
	if name := http.StatusText(r.Status); name != "" {
		text += " " + name
	}
	text += "."
	switch {
	case r.Captured != nil:
		text += capturedText(r.Captured)
	case r.Withheld:
		text += " The reply is withheld: it is of an endpoint that makes or shows keys, or held too many secrets."
	case r.Binary:
		text += fmt.Sprintf(" The body is not text: %d bytes.", r.BodyBytes)
	case r.More:
		text += fmt.Sprintf(" The body goes on: get_run with offset %d.", r.NextOffset)
	}
	if r.Truncated {
		text += " What follows behind what is kept was not read."
	}
	if n := r.Redactions + r.Foreign; n > 0 {
		text += fmt.Sprintf(" %s redacted.", plural(n, "secret"))
	}
	return mcp.Result{Text: text, Structured: out}
}
