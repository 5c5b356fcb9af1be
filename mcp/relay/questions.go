package relay

import (
	"slices"
	"sync"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
)

// maxQuestions is how many of a daemon's questions are remembered; ours has one open.
const maxQuestions = 64

// questions are what the daemon at one link has asked of the client, and has neither an answer to nor taken back: by their ids, byte for byte as they came.
type questions struct {
	mu   sync.Mutex
	open []string
}

// heard notes what a daemon's message asks or takes back. What is asked is noted before the client can answer it.
func (q *questions) heard(m *wire.Message, line []byte) {
	switch {
	case m.Request():
		q.mu.Lock()
		defer q.mu.Unlock()
		if len(q.open) < maxQuestions {
			q.open = append(q.open, string(m.ID))
		}
	case m.Cancel():
		if whole, bad := wire.Parse(line); bad == nil {
			q.ended(whole.Cancels)
		}
	}
}

// ended forgets a question.
func (q *questions) ended(id []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = slices.DeleteFunc(q.open, func(x string) bool { return x == string(id) })
}

// withdraw takes back for a daemon that is gone what it had asked: a person would sit before a question whose answer concerns nobody.
func (r *relay) withdraw(l *link) {
	l.asked.mu.Lock()
	open := l.asked.open
	l.asked.open = nil
	l.asked.mu.Unlock()
	for _, id := range open {
		r.out.line(wire.Cancelled([]byte(id), "the zavhoz daemon that asked has ended"))
	}
	if len(open) > 0 {
		r.out.flush()
	}
}
