package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zavhoz/zavhoz/store"
)

var _ store.Warmer = (*Store)(nil)

// Bounds of asking ahead: who asks writes next, and has patience for that.
const (
	warmTimeout = 2 * time.Second // of one question
	warmRest    = 5 * time.Second // after one without an answer, in which none is asked
)

// Warm asks for records outside of any turn, and keeps what is of a moment that is known here. A commit counts only at the moment that its functions read, so an answer that came late
// costs a second question, and nothing else. Where there is no answer, nothing is asked for a while.
func (s *Store) Warm(ctx context.Context, c store.Collection, keys ...string) {
	if s.enter() != nil {
		return
	}
	defer s.running.Done()
	at, age := s.cache.now()
	var lack []*lookup
	for _, key := range keys {
		if _, known := s.cache.get(c, key, at, age); !known && store.CheckKey(c, key) == nil {
			lack = append(lack, &lookup{c: c, key: key})
		}
	}
	if len(lack) == 1 {
		s.warming.lookUp(lack[0].c, lack[0].key, func(all []*lookup) { s.warm(all) })
		return
	}
	for some := range slices.Chunk(lack, gatherMost) {
		if ctx.Err() != nil || !s.warm(some) {
			return
		}
	}
}

// warm asks for what many want at once, and tells whether there was an answer. Errors are left to who reads.
func (s *Store) warm(all []*lookup) (answered bool) {
	if time.Now().UnixNano() < s.mute.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(s.ctx, warmTimeout)
	defer cancel()
	asked, before := s.cache.now()
	m, err := ask(ctx, s.sql.gets, all, func(ctx context.Context, sql string, args []any, fn func(pgx.Rows) error) error {
		return each(ctx, s.pool, sql, args, fn)
	})
	if err != nil {
		s.mute.Store(time.Now().Add(warmRest).UnixNano())
		return false
	}
	age, known := s.cache.joined(asked, m)
	if !known || age != before { // what was read before all was forgotten does not come back
		return true
	}
	for _, l := range all {
		if l.since == nil {
			s.cache.learn(l.c, l.key, nil, m.seq, m, age)
		} else if l.value != nil {
			s.cache.learn(l.c, l.key, l.value, *l.since, m, age)
		}
	}
	return true
}
