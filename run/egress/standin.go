package egress

import (
	"bytes"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// astray finds a placeholder that stands in the address of a request, as it is or encoded, where no value goes. The host would refuse the login, and nobody would know
// why.
func (p *Proxy) astray(g *passage, normal string) *resource {
	for _, f := range g.fills {
		if f.slot.header == "" {
			normal = strings.Replace(normal, f.slot.placeholder, "", 1) // in its slot
		}
	}
	address := normal + "\n" + g.query + "\n" + unescaped(g.query)
	for _, of := range p.resources {
		if slices.ContainsFunc(of.placeholders, func(ph string) bool { return strings.Contains(address, ph) }) {
			return of
		}
	}
	return nil
}

// standInScan looks for placeholders in what goes up in a body, as it comes. They are let through: a body may be a file that holds them rightly. It keeps the end of
// what it saw, no more than the longest of them.
type standInScan struct {
	io.ReadCloser
	marks []mark
	keep  int
	tail  []byte

	mu    sync.Mutex
	found []string // handles
}

// mark is a text that gives a resource's placeholder away.
type mark struct {
	text   []byte
	handle string
}

// marked gives the marks of all resources: each placeholder as it is, and as forms and addresses write it.
func (p *Proxy) marked() (all []mark) {
	for _, of := range p.resources {
		for _, ph := range of.placeholders {
			all = append(all, mark{[]byte(ph), of.Handle})
			if q := url.QueryEscape(ph); q != ph {
				all = append(all, mark{[]byte(q), of.Handle})
			}
		}
	}
	return all
}

func newStandInScan(body io.ReadCloser, marks []mark) *standInScan {
	s := &standInScan{ReadCloser: body, marks: marks}
	for _, m := range marks {
		s.keep = max(s.keep, len(m.text)-1)
	}
	return s
}

func (s *standInScan) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if b := p[:n]; n > 0 && len(s.marks) > 0 {
		seam := append(s.tail, b[:min(n, s.keep)]...) // what begins in the last piece
		s.look(seam)
		s.look(b)
		if n >= s.keep {
			s.tail = append(s.tail[:0], b[n-s.keep:]...)
		} else {
			s.tail = append(s.tail[:0], seam[max(0, len(seam)-s.keep):]...)
		}
	}
	return n, err
}

// look tells of a resource once.
func (s *standInScan) look(b []byte) {
	for i := 0; i < len(s.marks); i++ {
		if !bytes.Contains(b, s.marks[i].text) {
			continue
		}
		handle := s.marks[i].handle
		s.mu.Lock()
		s.found = append(s.found, handle)
		s.mu.Unlock()
		s.marks = slices.DeleteFunc(slices.Clone(s.marks), func(m mark) bool { return m.handle == handle })
		i = -1
	}
}

// handles gives the resources whose stand-ins went up.
func (s *standInScan) handles() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.found))
}

// hint says what became of the stand-ins that went up in a body, and where they would have counted; "" for none.
func (x *exchange) hint() string {
	if x.sent == nil {
		return ""
	}
	var all []string
	for _, handle := range x.sent.handles() {
		for _, of := range x.p.resources {
			if of.Handle == handle {
				all = append(all, "the body holds the stand-in of "+handle+", and the host got those characters: no value is put in there. Where the value is meant, send "+of.places())
			}
		}
	}
	return strings.Join(all, "; ")
}
