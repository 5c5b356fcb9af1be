package run

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/run/capture"
	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// fetch makes the request and takes its reply to where it may be told from.
func (e *Engine) fetch(ctx context.Context, l *live, q *errand, r HTTPRequest) (res HTTPResult, err error) {
	defer func() { // one request's defect must not end the others; its text could hold anything
		if recover() != nil {
			err = fault.New(fault.Internal, "the request failed inside zavhoz", "")
		}
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	if err := e.learn(l, &plan{uses: []vault.Use{q.use}}); err != nil {
		return res, err
	}
	if err := l.mask.nothingOurs(ctx, r); err != nil {
		return res, err
	}
	proxy, err := e.requester(l, q)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, proxy.Close()) }()
	req, err := http.NewRequestWithContext(ctx, r.Method, q.to.url(), bytes.NewReader(r.Body))
	if err != nil {
		return res, fault.New(fault.InvalidArgument, "the url cannot be read", "write a path such as /v1/models, or an absolute https address").Because(err)
	}
	outgoing(req, r)
	resp, err := proxy.RoundTrip(ctx, q.use.Resource.Handle, req, q.plan != nil)
	if err != nil {
		return res, err
	}
	defer resp.Body.Close()
	res.Status, res.ContentType = resp.StatusCode, mediaType(resp.Header)
	if q.plan != nil && resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return e.captureReply(ctx, l, q, resp, res)
	}
	if policy.Denies(q.mints, r.Method, q.to.host, q.to.port, q.to.normal) { // whatever its status: an answer that is no key may still hold one
		res.Withheld, res.BodyBytes = true, max(0, resp.ContentLength)
		return res, nil
	}
	if res.Headers, err = l.mask.headers(ctx, resp.Header); err != nil {
		return res, err
	}
	return res, l.showReply(resp, &res)
}

// requester is the way out of one request: the proxy that runs have, with the one resource.
func (e *Engine) requester(l *live, q *errand) (*egress.Proxy, error) {
	reach, err := egressResource(q.use.Resource, q.standIn.Hosts)
	if err != nil {
		return nil, err
	}
	drawn := e.standIns(q.use.Resource, q.standIn) // never told to anybody: they only tell the proxy's places apart
	for _, w := range q.standIn.Swaps {
		if w.Minted != "" && e.o.Mint == nil {
			return nil, fault.New(fault.NotSupported, "the short-lived token of "+q.use.Resource.Handle+" cannot be made by this release", "a person can add a token of its own as an api_key")
		}
		text, err := drawn.get(w.Field + w.Minted)
		if err != nil {
			return nil, err
		}
		l.mask.add(q.use.Resource.Handle+"."+w.Field, secret.FromString(text)) // where a reply held the value, it stands there now
		if q.plan != nil {
			q.plan.Exclude(text)
		}
		reach.Swaps = append(reach.Swaps, egress.Swap{
			Placeholder: text, Header: w.Header, Template: w.Template, Basic: w.Basic, Path: w.Path, Value: e.valueOf(l.ctx, q.use.Resource, w.Field, w.Minted),
		})
	}
	return egress.New(egress.Options{
		RunID: l.record.ID, Resources: []egress.Resource{reach}, Matcher: func() []*redact.Matcher { return l.mask.matchers(l.ctx) },
		Counted: l.mask.spend, Record: func(ev egress.Event) error { return e.noteEgress(l, ev) }, Log: e.o.Log,
	})
}

// captureReply takes the reply into the vault. Nothing of it is shown, whatever comes of it.
func (e *Engine) captureReply(ctx context.Context, l *live, q *errand, resp *http.Response, res HTTPResult) (HTTPResult, error) {
	res.Withheld = true
	reply, err := io.ReadAll(io.LimitReader(resp.Body, capture.MaxReply+1))
	defer clear(reply)
	if res.BodyBytes = int64(len(reply)); err != nil {
		return res, broken(err)
	}
	kept, err := e.keep(ctx, l, q.plan, reply)
	res.Captured = kept
	return res, err
}

// showReply writes a text through the run's redactor, as much as is kept of one; of what is no text only the length is told.
func (l *live) showReply(resp *http.Response, res *HTTPResult) error {
	first := make([]byte, 512)
	n, err := io.ReadFull(resp.Body, first)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return broken(err)
	}
	body := &counting{r: io.MultiReader(bytes.NewReader(first[:n]), resp.Body)}
	defer func() { res.BodyBytes = body.n }()
	if !textual(res.ContentType, first[:n]) {
		res.Binary = n > 0
		_, err := io.Copy(io.Discard, io.LimitReader(body, maxBinary))
		if res.Truncated = body.n == maxBinary; err != nil {
			return broken(err)
		}
		return nil
	}
	head := &head{w: sink{l, stdout}, left: l.text.limit}
	out := l.mask.to(l.ctx, head)
	buf := make([]byte, 32<<10)
	for !head.full {
		n, rerr := body.Read(buf)
		if _, err := out.Write(buf[:n]); err != nil { // withheld: reply tells
			break
		}
		if errors.Is(rerr, io.EOF) {
			break
		}
		if err = rerr; err != nil {
			break
		}
	}
	_ = out.Close() // what it held back behind a full head is dropped there
	res.Truncated = head.full
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return broken(err)
	}
	return nil
}

// maxBinary is how much of a body that is not shown is read to learn its length, in bytes.
const maxBinary = 8 << 20

// broken is a reply that ended before its end.
func broken(err error) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	return fault.New(fault.ConnectionFailed, "the connection broke before the reply was complete", "try again").Because(err)
}

// head lets the first bytes through and drops the rest. It cuts what was masked, so it never shows the beginning of a secret that the cut would hide from
// the redactor (threat-model.md 59).
type head struct {
	w    io.Writer
	left int
	full bool
}

func (h *head) Write(p []byte) (int, error) {
	n := min(len(p), h.left)
	if n < len(p) {
		h.full = true
	}
	h.left -= n
	if _, err := h.w.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

type counting struct {
	r io.Reader
	n int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// mediaType gives "type/subtype" of a reply, "" where it has none that can be read.
func mediaType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || len(t) > 100 || strings.Count(t, "/") != 1 {
		return ""
	}
	return t
}

// textTypes are texts that are not called so.
var textTypes = map[string]bool{
	"application/json": true, "application/xml": true, "application/javascript": true, "application/x-ndjson": true, "application/yaml": true, "application/x-yaml": true, "application/toml": true,
	"application/x-www-form-urlencoded": true, "application/graphql": true, "application/sql": true, "application/x-sh": true, "application/jsonl": true,
}

// textual tells whether a body is to be shown: by its type, else by its first bytes.
func textual(t string, first []byte) bool {
	switch {
	case bytes.IndexByte(first, 0) >= 0:
		return false
	case strings.HasPrefix(t, "text/"), textTypes[t], strings.HasSuffix(t, "+json"), strings.HasSuffix(t, "+xml"):
		return true
	case strings.HasPrefix(t, "image/"), strings.HasPrefix(t, "audio/"), strings.HasPrefix(t, "video/"), strings.HasPrefix(t, "font/"):
		return false
	}
	return utf8.Valid(first[:whole(first)])
}
