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

// bury ends an agent's session over streamable HTTP, whether or not it was gone on with here, and has it not gone on with again. Only who has the session's id, with its mark, and is its agent gets here. An event stream ends
// with its connection.
func (s *sessions) bury(id, agent string) error {
	kind, server, ok := s.foreign(id, agent)
	if _, streamable := canAskOfKind(kind); !ok || !streamable {
		return errNoSession
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, id)
	if server != s.shared.Self() { // its own that is gone has ended
		s.buried.add(id)
	}
	return nil
}
