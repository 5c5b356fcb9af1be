package mcp

// maxBuried is how many ended sessions of other servers are remembered, all agents': when one of them is forgotten early, its own agent alone can go on with it, who may as well open another.
const maxBuried = 4096

// buried are the ids of sessions that their clients ended and that another server had opened: the id alone would make them anew. The oldest is forgotten for the newest.
type buried struct {
	is   map[string]struct{}
	ring []string
	next int
}

func (b *buried) holds(id string) bool {
	_, is := b.is[id]
	return is
}

func (b *buried) add(id string) {
	if b.holds(id) {
		return
	}
	if b.is == nil {
		b.is = map[string]struct{}{}
	}
	if len(b.ring) < maxBuried {
		b.ring = append(b.ring, id)
	} else {
		delete(b.is, b.ring[b.next])
		b.ring[b.next] = id
		b.next = (b.next + 1) % maxBuried
	}
	b.is[id] = struct{}{}
}

// bury ends an agent's session over streamable HTTP, whether or not it was gone on with here, and has it not gone on with again. One that is here ends however old its id is, and whatever keys marked it: it would go on while it
// is used. Of one that is not, only who has the id, with its mark, and is its agent has it remembered. An event stream ends with its connection.
func (s *sessions) bury(id, agent string) error {
	kind, server, adoptable := s.foreign(id, agent)
	_, streamable := canAskOfKind(kind)
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.by[id]
	here := x != nil && x.agent == agent && x.stream == nil
	if here {
		delete(s.by, id)
	}
	adoptable = adoptable && streamable
	if adoptable && server != s.shared.Self() { // its own that is gone has ended
		s.buried.add(id)
	}
	if !here && !adoptable {
		return errNoSession
	}
	return nil
}
