package egress

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// refusal is an answer of ours in the place of the host's.
type refusal struct {
	status int
	err    *fault.Error
}

func refuse(status int, code fault.Code, sentence, next string) *refusal {
	return &refusal{status, fault.New(code, sentence, next)}
}

// The refusals that hold nothing of the request.
var (
	refusedHTTP = refuse(http.StatusForbidden, fault.HTTPSRequired, "a run reaches hosts by https only",
		"use https:// in the address; where the host has no https, it cannot be reached from a run")
	refusedProxyUse = refuse(http.StatusBadRequest, fault.InvalidArgument, "this is a proxy, and was asked like a server",
		"set HTTPS_PROXY to this address and ask for the https address that you mean")
	refusedConnect = refuse(http.StatusBadRequest, fault.InvalidArgument, "a CONNECT names a host and a port, and has no body", "write CONNECT host:443")
	refusedFull    = refuse(http.StatusServiceUnavailable, fault.RateLimited, "this run has too many connections or requests open at once", "close some, then try again")
	refusedRecord  = refuse(http.StatusServiceUnavailable, fault.AuditUnavailable, "requests cannot be recorded, so none goes out", "a person looks at the daemon's log; start the run again later")
	refusedBudget  = refuse(http.StatusForbidden, fault.OutputWithheld, "replies held secrets too often, so this run has no way out any more", "ask for less that repeats the credential, in a new run")
	refusedClosed  = refuse(http.StatusServiceUnavailable, fault.Canceled, "the run is over", "")
)

// errors shown for a host that answers badly or not at all.
func refuseUpstream(status int, code fault.Code, sentence string) *refusal {
	return refuse(status, code, sentence, "look at the address and the method; if both are right, try again later")
}

// problem is the body: RFC 9457 with our code and next step.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Next   string `json:"next,omitempty"`
	Hosts  any    `json:"hosts,omitempty"`
}

// body writes the refusal as JSON. It is made of our own words, handles and host rules only.
func (r *refusal) body() []byte {
	b, err := json.Marshal(problem{
		Type: "urn:zavhoz:problem:" + string(r.err.Code), Title: r.err.Message, Status: r.status, Code: string(r.err.Code), Next: r.err.Next, Hosts: r.err.Details["hosts"],
	})
	if err != nil {
		return []byte(`{}`)
	}
	return append(b, '\n')
}

// proxyStatus is the header of RFC 9209: who answered, and that it was not the host.
func (r *refusal) proxyStatus() string {
	kind := "http_request_denied"
	if r.status >= http.StatusInternalServerError {
		kind = "proxy_internal_response"
	}
	return "zavhoz; error=" + kind + "; details=" + strconv.QuoteToASCII(string(r.err.Code))
}

// serve answers a request inside a connection.
func (r *refusal) serve(w http.ResponseWriter) {
	clear(w.Header())
	r.write(w)
}

// serveLast answers a request whose body may be unread. The connection is not used again then, and says so: a client would send the next one into its end.
func (r *refusal) serveLast(w http.ResponseWriter, in *http.Request) {
	clear(w.Header())
	if in.ProtoMajor == 1 && in.ContentLength != 0 {
		w.Header().Set("Connection", "close")
	}
	r.write(w)
}

func (r *refusal) write(w http.ResponseWriter) {
	b, h := r.body(), w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store")
	h.Set("Proxy-Status", r.proxyStatus())
	if r.err.Code.Of().Retry {
		h.Set("Retry-After", "2")
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(b)
}

// raw is the answer to a CONNECT, complete. Most clients show its status line and nothing else, so the sentence stands there.
func (r *refusal) raw() []byte {
	b := r.body()
	line := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, r.err.Message)
	return append([]byte("HTTP/1.1 "+strconv.Itoa(r.status)+" "+line+"\r\nContent-Type: application/problem+json\r\nContent-Length: "+strconv.Itoa(len(b))+
		"\r\nProxy-Status: "+r.proxyStatus()+"\r\nConnection: close\r\n\r\n"), b...)
}
