package egress

import (
	"net/http"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// resource is a Resource, ready to use.
type resource struct {
	Resource
	slots        []*slot
	placeholders []string
	route        *route
	h1, h2       *http.Transport
}

// target is whom a connection means: a canonical host and its port.
type target struct {
	host string
	port int
}

// passage is a request that was let through.
type passage struct {
	via      *resource // whose rules let it through and whose route it takes
	handles  string
	fills    []fill
	raw      string // path as written, without query
	query    string // with its "?"
	shown    string // path for the record
	websocks bool
	window   *window // of a range request; nil: none
}

// fill is a value to put in.
type fill struct {
	slot  *slot
	of    *resource
	other string
}

var (
	refusedAmbiguous = refuse(http.StatusBadRequest, fault.RequestNotAllowed, "the path can be read in more than one way",
		"write it without dot segments, doubled or encoded slashes, backslashes, semicolons and encoded percent signs")
	refusedTwice = refuse(http.StatusBadRequest, fault.StandInMisplaced, "a header that carries a stand-in is there more than once", "send it once")
)

// decide looks at a request as a whole: what it wants, and where placeholders are. capture is for whoever takes new secrets out of the reply.
func (p *Proxy) decide(t target, method, uri string, h, trailer http.Header, capture bool) (*passage, *refusal) {
	path, query, hasQuery := strings.Cut(uri, "?")
	if hasQuery {
		query = "?" + query
	}
	if overrides(h) || overrides(trailer) || overridesByQuery(query) {
		return nil, refusedOverride
	}
	normal, err := policy.NormalPath(path)
	if err != nil || strings.IndexByte(query, '#') >= 0 {
		return nil, refusedAmbiguous
	}
	g := &passage{raw: path, query: query, shown: normal}
	if r := p.place(g, t, h, normal); r != nil {
		return nil, r
	}
	if len(g.fills) == 0 {
		return g, p.admitPlain(g, t, method, path, normal, capture)
	}
	g.via = g.fills[0].of
	for i, f := range g.fills {
		if r := f.of.admit(t, method, path, normal, capture); r != nil {
			return nil, r
		}
		if !f.of.route.sameFor(g.via.route, t.host) || f.of.Roots != g.via.Roots {
			return nil, refuse(http.StatusForbidden, fault.RequestNotAllowed, f.of.Handle+" and "+g.via.Handle+" reach this host in different ways, so one request cannot carry both",
				"make two requests")
		}
		if i == 0 {
			g.handles = f.of.Handle
		} else if f.of != g.fills[i-1].of {
			g.handles += "," + f.of.Handle
		}
	}
	return g, nil
}

// place finds the placeholders of the request: each stands in its slot, or the request is refused. In the body they travel as the text that they are: it may be a file
// that holds them rightly; who sent it is told (see standInScan).
func (p *Proxy) place(g *passage, t target, h http.Header, normal string) *refusal {
	for name, values := range h {
		for _, v := range values {
			f, r := p.placeIn(name, v)
			switch {
			case r != nil:
				return r
			case f == nil:
				continue
			case len(values) > 1:
				return refusedTwice
			case !policy.Reaches(f.of.Rules, t.host, t.port):
				return refuse(http.StatusForbidden, fault.HostNotAllowed, "the credential of "+f.of.Handle+" does not go to this host", "it goes to "+f.of.hosts())
			}
			g.fills = append(g.fills, *f)
		}
	}
	for _, of := range p.resources {
		for _, s := range of.slots {
			if s.inPath(normal) && policy.Reaches(of.Rules, t.host, t.port) {
				g.fills, g.shown = append(g.fills, fill{slot: s, of: of}), s.show(normal)
				break
			}
		}
	}
	if of := p.astray(g, normal); of != nil {
		return refuse(http.StatusBadRequest, fault.StandInMisplaced, "the stand-in of "+of.Handle+" is in the address, where no value is put in for it", "send "+of.places())
	}
	slices.SortFunc(g.fills, func(a, b fill) int { return strings.Compare(a.of.Handle, b.of.Handle) })
	return nil
}

// placeIn finds the slot that a header's value fills. A placeholder that stands there in another way is refused: the client would be told by the host that
// its login is wrong, and nobody would know why.
func (p *Proxy) placeIn(name, value string) (*fill, *refusal) {
	user, password, basic := "", "", false
	if len(value) > 0 && value[0]|0x20 == 'b' {
		user, password, basic = parseBasic(value)
	}
	for _, of := range p.resources {
		for _, ph := range of.placeholders {
			if !strings.Contains(value, ph) && (!basic || !strings.Contains(user, ph) && !strings.Contains(password, ph)) {
				continue
			}
			for _, s := range of.slots {
				if s.placeholder != ph {
					continue
				}
				if other, ok := s.inHeader(name, value); ok {
					return &fill{slot: s, of: of, other: other}, nil
				}
			}
			return nil, refuse(http.StatusBadRequest, fault.StandInMisplaced, "the stand-in of "+of.Handle+" is in a header, or in a form, where no value is put in for it", "send "+of.places())
		}
	}
	return nil, nil
}

// admitPlain lets a request without any placeholder through, without credential, if some resource allows it. It gets none because it asked for none: a page or a
// redirect must not make a client act with a login that it did not mean, and with two resources for a host nothing would say whose.
func (p *Proxy) admitPlain(g *passage, t target, method, path, normal string, capture bool) *refusal {
	var first *refusal
	for _, of := range p.resources {
		if !policy.Reaches(of.Rules, t.host, t.port) {
			continue
		}
		r := of.admit(t, method, path, normal, capture)
		if r == nil {
			g.via, g.handles = of, of.Handle
			return nil
		}
		if first == nil {
			first = r
		}
	}
	if first == nil {
		first = p.refusedHost()
	}
	return first
}

// admit asks the resource's own rules.
func (r *resource) admit(t target, method, path, normal string, capture bool) *refusal {
	d := policy.MatchRequest(r.Rules, method, t.host, t.port, path)
	switch {
	case !d.Allowed:
		return refuse(http.StatusForbidden, fault.RequestNotAllowed, r.Handle+": "+d.Why, "it allows "+r.hosts())
	case d.Path != normal:
		return refusedAmbiguous
	case !capture && policy.Denies(r.Mints, method, t.host, t.port, d.Path):
		return refuse(http.StatusForbidden, fault.RequestNotAllowed, r.Handle+": this endpoint makes or shows keys, and its reply must not reach a command", "call http_request_with_resource with capture")
	}
	return nil
}

// maxListed bounds the rules that a refusal names.
const maxListed = 12

// hosts names what the resource allows, denials left out, for a refusal's next step.
func (r *resource) hosts() string {
	var list []string
	for _, rule := range r.Rules {
		if len(list) == maxListed {
			list = append(list, "…")
			break
		}
		list = append(list, policy.HostRule{Host: rule.Host, Port: rule.Port, Methods: rule.Methods, Paths: rule.Paths}.String())
	}
	return strings.Join(list, "; ")
}

// standInHere marks the place of a stand-in in a hint. It is written in what no credential has: the hint reaches a model through the redactor, which masks what looks
// like somebody's login header.
const standInHere = "{stand-in}"

// places says where the resource's stand-in goes.
func (r *resource) places() string {
	var list []string
	for _, s := range r.slots {
		switch {
		case s.shown != "":
			list = append(list, "it in the path as "+s.shown)
		case s.basic:
			list = append(list, s.header+": a basic login with it as "+map[bool]string{true: "user", false: "password"}[s.user])
		default:
			list = append(list, s.header+": "+s.head+standInHere+s.tail)
		}
	}
	return strings.Join(list, ", or ")
}

// show gives a normal path with the slot's segment as the kind writes it.
func (t *slot) show(normal string) string {
	segments := strings.Split(normal, "/")
	segments[len(t.before)+1] = t.head + blank + t.tail
	return strings.Join(segments, "/")
}
