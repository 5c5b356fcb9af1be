package mcp

import (
	"crypto/rand"
	"encoding/json"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
)

// guard stands before every HTTP door. It never sends a CORS header: no page of another origin has business here.
//
// The order matters: who may speak at all (host, origin) comes before who speaks (token), and both before a byte of the body is read.
func (s *Server) guard(methods string, next func(w http.ResponseWriter, r *http.Request, ag Agent)) http.Handler {
	allowed := strings.Split(methods, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A write deadline belongs to the connection: left behind, it would cut the next reply on it, of whichever handler.
		defer func() { _ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) }()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Request-Id", rand.Text()[:16])
		if e := s.http.admit(r); e != nil {
			s.deny(w, r, e)
			return
		}
		if !slices.Contains(allowed, r.Method) {
			h.Set("Allow", methods)
			s.denyStatus(w, r, http.StatusMethodNotAllowed, fault.New(fault.NotSupported, "this method is not served here", ""))
			return
		}
		if r.Method == http.MethodPost && !jsonBody(r) {
			s.denyStatus(w, r, http.StatusUnsupportedMediaType, fault.New(fault.InvalidArgument, "the body must be application/json", ""))
			return
		}
		ag, err := s.bearer(r)
		if err != nil {
			h.Set("Connection", "close") // each guess costs a connection
			s.deny(w, r, fault.Of(err))
			return
		}
		if e := s.seat(r, ag); e != nil {
			h.Set("Connection", "close")
			s.deny(w, r, e)
			return
		}
		next(w, r, ag)
	})
}

// admit checks how the request came: no clear text off loopback, a Host that is ours (DNS rebinding), an Origin that is ours (threat-model.md 53;
// defects 1 and 2).
func (h *HTTP) admit(r *http.Request) *fault.Error {
	if _, safe := h.via(r); !safe {
		return fault.New(fault.NotPermitted, "this door is not open over clear text", "use https")
	}
	if !h.hostAllowed(r) {
		return fault.New(fault.NotPermitted, "this host name is not served here", "a person adds it to the daemon's public names")
	}
	if !h.originAllowed(r) {
		return fault.New(fault.NotPermitted, "pages of this origin may not call", "")
	}
	return nil
}

func (h *HTTP) hostAllowed(r *http.Request) bool {
	for _, allowed := range h.Hosts {
		if strings.EqualFold(allowed, r.Host) {
			return true
		}
	}
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = r.Host, ""
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil {
		return loopbackName(host)
	}
	at, err := netip.ParseAddrPort(local.String())
	if err != nil || port != strconv.Itoa(int(at.Port())) && (port != "" || at.Port() != 80 && at.Port() != 443) {
		return false
	}
	if loopbackName(host) {
		return at.Addr().Unmap().IsLoopback()
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]")) // a literal address cannot be rebound
	return err == nil && ip.Unmap() == at.Addr().Unmap()
}

func (h *HTTP) originAllowed(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return h.listed(r.Header.Get("Origin"))
	}
	origins := r.Header.Values("Origin")
	switch len(origins) {
	case 0:
		return true // no browser
	case 1:
	default:
		return false
	}
	if h.listed(origins[0]) {
		return true
	}
	u, err := url.Parse(origins[0])
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

func (h *HTTP) listed(origin string) bool {
	return origin != "" && origin != "null" && slices.ContainsFunc(h.Origins, func(o string) bool { return strings.EqualFold(o, origin) })
}

// jsonBody: a browser sends text/plain and forms across origins unasked, application/json never.
func jsonBody(r *http.Request) bool {
	types := r.Header.Values("Content-Type")
	if len(types) != 1 || r.Header.Get("Content-Encoding") != "" {
		return false
	}
	if types[0] == "application/json" {
		return true
	}
	t, params, err := mime.ParseMediaType(types[0])
	charset, other := params["charset"]
	return err == nil && t == "application/json" && (!other || strings.EqualFold(charset, "utf-8"))
}

// bearer gives the agent of the request's token; over HTTP there is no local agent: any process of any user reaches a loopback port.
func (s *Server) bearer(r *http.Request) (Agent, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return Agent{}, errNoToken
	}
	kind, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	if k, err := id.CheckToken(token); !strings.EqualFold(kind, "Bearer") || err != nil || k != id.AgentToken {
		return Agent{}, errNoToken
	}
	return s.identity.Authenticate(r.Context(), token)
}

var errNoToken = fault.New(fault.Unauthenticated, "this door needs an agent's token", "send Authorization: Bearer zvh_agt_…; a person makes one with `zavhoz agent add NAME`")

func (s *Server) deny(w http.ResponseWriter, r *http.Request, e *fault.Error) {
	s.denyStatus(w, r, e.Code.Of().HTTP, e)
}

// denyStatus refuses with a JSON-RPC error without an id: nothing of the body has been looked at.
func (s *Server) denyStatus(w http.ResponseWriter, r *http.Request, status int, e *fault.Error) {
	s.refuse(w, r, status, e, wire.Fault(nil, e))
}

// denyMessage refuses a message. A response, also a malformed one or the beginning of one, has the status alone: no response is answered by a message, of an error either.
func (s *Server) denyMessage(w http.ResponseWriter, r *http.Request, raw []byte, status int, e *fault.Error) {
	if wire.Responds(raw) {
		s.refuse(w, r, status, e, nil)
		return
	}
	s.denyStatus(w, r, status, e)
}

// errResponse refuses a response that cannot be read: its code is logged, and its sender has the status alone.
var errResponse = fault.New(fault.InvalidArgument, "the response cannot be read", "")

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, e *fault.Error, body json.RawMessage) {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="zavhoz"`)
	}
	client, _ := s.http.via(r)
	s.log.Info("refused", "code", string(e.Code), "status", status, "client", client.String(), "request", w.Header().Get("X-Request-Id"))
	s.writeJSON(w, status, e, body)
}

func (s *Server) writeJSON(w http.ResponseWriter, status int, e *fault.Error, raw json.RawMessage) {
	if e != nil {
		if wait, ok := e.Details["retry_after_s"].(int); ok {
			w.Header().Set("Retry-After", strconv.Itoa(wait))
		}
	}
	if raw != nil {
		w.Header().Set("Content-Type", "application/json")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(s.limits.WriteTimeout))
	w.WriteHeader(status)
	_, _ = w.Write(raw)
	_ = rc.Flush() // while the deadline stands
}
