package run

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/run/capture"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// HTTPRequest asks for one request that zavhoz itself makes: no process starts, and nothing of the caller's holds even a placeholder.
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
	Headers     map[string]string // those of the allow-list; none where the reply is withheld
	ContentType string            // "type/subtype"
	Body        string            // the beginning; Get reads on at NextOffset
	BodyBytes   int64             // of the reply, as far as it was read
	NextOffset  int64
	More        bool // more of the body is kept than Body shows
	Binary      bool // the body is not text, so it is not shown
	Withheld    bool // the reply is not shown: something was to be captured from it, it is of an endpoint that makes keys, or it held too many secrets
	Truncated   bool // the reply goes on behind what is kept of it
	Redactions  int
	Foreign     int // what looked like somebody else's secret, and was masked
	Captured    *capture.Kept
	Duration    time.Duration
}

// Bounds of a request.
const (
	maxRequestTime = 10 * time.Minute
	maxURL         = 8 << 10
	maxHeaders     = 32
	maxHeaderValue = 1 << 10
	maxRequestBody = 1 << 20
)

// check bounds a request, whatever door it came by.
func (r *HTTPRequest) check() error {
	bad := func(format string, args ...any) *fault.Error {
		return fault.Newf(fault.InvalidArgument, format, args...)
	}
	switch {
	case !slices.Contains(policy.Methods, r.Method):
		return bad("the method is one of %s", strings.Join(policy.Methods, ", "))
	case r.URL == "" || len(r.URL) > maxURL || strings.ContainsFunc(r.URL, func(c rune) bool { return c <= ' ' || c >= 0x7f }):
		return bad("a url is a path, or an absolute https address, of at most %d bytes, with what is not ASCII encoded", maxURL)
	case len(r.Headers) > maxHeaders:
		return bad("more than %d headers", maxHeaders)
	case len(r.Body) > maxRequestBody:
		return fault.Newf(fault.TooLarge, "the body is longer than %d bytes", maxRequestBody)
	case len(r.Body) > 0 && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		return bad("a %s has no body", r.Method)
	case r.Timeout < 0 || r.Timeout > maxRequestTime:
		return bad("the timeout of a request is at most %d s", int(maxRequestTime.Seconds()))
	case r.Timeout == 0:
		r.Timeout = defaultTimeout
	}
	for name, value := range r.Headers {
		if err := checkHeader(name, value); err != nil {
			return err
		}
	}
	return nil
}

// Request makes one request with a resource and waits for its reply. It is authorised, recorded, counted and redacted as a run is. An error is a refusal, or
// says why there is no reply; HTTPResult then says as much as is known. Ending ctx ends the request.
func (e *Engine) Request(ctx context.Context, r HTTPRequest) (HTTPResult, error) {
	if err := r.check(); err != nil {
		return HTTPResult{}, err
	}
	leave, err := e.enter(r.Actor)
	if err != nil {
		return HTTPResult{}, err
	}
	defer leave()
	l, q, err := e.beginRequest(ctx, r)
	if err != nil {
		return HTTPResult{}, err
	}
	defer e.wait.Done()
	call, cancel := context.WithTimeoutCause(l.ctx, r.Timeout, errTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.cancel(context.Cause(ctx)) })()
	res, err := e.fetch(call, l, q, r)
	l.close(e, exit{}, err)
	e.settle(l)
	close(l.done)
	return l.reply(res), l.refusal(err)
}

// errand is a planned request.
type errand struct {
	use     vault.Use
	standIn StandIn
	mints   []policy.HostRule // key endpoints that a person lifted the denial of
	to      destination
	plan    *capture.Plan // nil: nothing is captured
}

// beginRequest authorises, plans and records. The errand is made twice, as a plan is: the resource may change between.
func (e *Engine) beginRequest(ctx context.Context, r HTTPRequest) (*live, *errand, error) {
	uses, err := e.o.Authority.Authorise(ctx, r.Actor, []string{r.Ref})
	if err != nil {
		return nil, nil, err
	}
	q, err := e.errand(ctx, r, uses)
	if err != nil {
		return nil, nil, err
	}
	command, err := e.maskCommand(ctx, []string{"http", r.Method, q.to.shown()})
	if err != nil {
		return nil, nil, err
	}
	handle := q.use.Resource.Handle
	record := vault.Run{Command: command, Isolation: InProcess, Delivered: map[string]string{handle: string(policy.None)}}
	if record.Proposal, err = e.proposeRequest(ctx, q, r); err != nil {
		return nil, nil, err
	}
	record, uses, err = e.o.Authority.StartRun(ctx, r.Actor, record, uses)
	if err != nil {
		return nil, nil, e.turnedDown(ctx, err)
	}
	l := e.newLive(record, Request{Background: true}) // what it keeps is for Get
	q, err = e.errand(ctx, r, uses)
	e.mu.Lock()
	if err == nil {
		err = e.refused()
	}
	if err == nil {
		e.live[record.ID] = l
		e.wait.Add(1) // under mu: Shutdown waits for it or has refused it
	}
	e.mu.Unlock()
	if err != nil {
		l.close(e, exit{}, err)
		return nil, nil, err
	}
	e.recheck(ctx, l)
	return l, q, nil
}

// errand decides what the request comes to, or refuses it. Whether the host allows its method and path is the proxy's word.
func (e *Engine) errand(ctx context.Context, r HTTPRequest, uses []vault.Use) (*errand, error) {
	if len(uses) != 1 {
		return nil, fault.New(fault.InvalidArgument, "a request is made with one resource", "call list_resources")
	}
	q := &errand{use: uses[0], standIn: e.o.Rules.StandIn(uses[0].Resource)}
	res := q.use.Resource
	switch {
	case res.Kind == "server" || res.Kind == "database":
		return nil, fault.New(fault.DeliveryRefused, "no request can be made with "+res.Handle+": it is a "+res.Kind, "use run_with_resource")
	case q.standIn.Why != "":
		return nil, fault.New(fault.DeliveryRefused, "no request can be made with "+res.Handle+": "+q.standIn.Why, strings.ReplaceAll(policy.HowToPin, "HANDLE", res.Handle))
	case !e.o.Rules.Allows(res, policy.None) || len(q.standIn.Swaps) == 0:
		return nil, fault.New(fault.DeliveryRefused, "no request can be made with "+res.Handle+": its kind or its policy does not allow it",
			"a person can allow it for an API's key: zavhoz resource policy "+res.Handle+" --delivery none")
	}
	if err := vault.MayDeliver(q.use, policy.None); err != nil {
		return nil, err
	}
	if k, err := kind.Get(res.Kind); err == nil {
		q.mints = k.Mints(res.Attrs, res.Policy)
	}
	var err error
	if q.to, err = destinationOf(r.URL, res.Handle, q.standIn.Hosts); err != nil {
		return nil, err
	}
	for _, w := range q.standIn.Swaps {
		for name := range r.Headers {
			if strings.EqualFold(name, w.Header) {
				return nil, headerRefused(name)
			}
		}
	}
	if r.Capture != nil {
		if err := e.misses.allow(r.Actor.ID, e.o.Clock()); err != nil {
			return nil, err
		}
		q.plan, err = r.Capture.Prepare(ctx, e.o.Keeper, r.Actor, capture.Source{Resources: []vault.Resource{res}, Host: q.to.host, Port: q.to.port})
	}
	return q, err
}

// refusal is how a request that did not come about, or broke, is told.
func (l *live) refusal(err error) error {
	if err == nil {
		return nil
	}
	if told := l.failure(); told != nil {
		return told
	}
	switch l.recorded().State { // what a run says by its state, a request says by an error
	case vault.RunTimedOut:
		return fault.New(fault.TimedOut, "the reply took too long", "give timeout_s, of at most 600")
	case vault.RunStopped:
		return fault.New(fault.Canceled, "the request was stopped", "")
	}
	return fault.Of(err)
}

// reply completes what fetch found with what the run's mask let through.
func (l *live) reply(res HTTPResult) HTTPResult {
	r := l.result(0, false)
	res.RunID, res.Redactions, res.Foreign, res.Duration = r.RunID, r.Redactions, r.Foreign, r.Duration
	if r.Withheld {
		res.Withheld, res.Headers = true, nil
	}
	if !res.Withheld && !res.Binary {
		res.Body, res.NextOffset, res.More = r.Stdout, r.NextOffset, r.NextOffset < r.StdoutBytes
		res.Truncated = res.Truncated || r.Truncated
	}
	return res
}
