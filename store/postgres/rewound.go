package postgres

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/zavhoz/zavhoz/store"
)

// errRewound is the answer to everybody once history was seen to go back. Whether that was meant only a person knows: a restore, a failover that lost what was
// acknowledged, or a writer of the database who wants yesterday's rights again look the same from here.
var errRewound = &failed{kind: store.ErrRewound}

// joins holds what a question found against the moment that was known before it was asked: the database may not be behind that moment, nor have another commit in its
// place. Where that commit is no longer listed, nothing is said.
func (s *Store) joins(asked moment, n *news) error {
	if n.err != nil {
		return n.err
	}
	same := n.at.seq > asked.seq || n.at == asked
	for _, c := range n.commits {
		if c.seq == asked.seq && c.batch != asked.batch {
			same = false
		}
	}
	if !same && s.rewound.CompareAndSwap(false, true) {
		s.log.Error("the database's history went back, or is another one: nothing is read or written any more", "known", asked.seq, "found", n.at.seq)
	}
	if s.rewound.Load() {
		return errRewound
	}
	return nil
}

// Mark names the newest moment that is known here, for Options.Mark.
func (s *Store) Mark() string {
	at, _ := s.cache.now()
	return strconv.FormatUint(at.seq, 10) + ":" + hex.EncodeToString(at.batch[:])
}

// since is joins for a mark that was kept.
func (s *Store) since(ctx context.Context, mark string) error {
	if mark == "" {
		return nil
	}
	number, name, _ := strings.Cut(mark, ":")
	seq, err := strconv.ParseUint(number, 10, 64)
	batch, herr := hex.DecodeString(name)
	if err != nil || herr != nil || len(batch) != 16 {
		return errRewound // what the home keeps was damaged: a person looks at it
	}
	b := &pgx.Batch{}
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
	n := s.queueNews(b, moment{seq, [16]byte(batch)}, s.sql.moment)
	b.Queue("COMMIT")
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return failure(ctx, err)
	}
	return s.joins(moment{seq, [16]byte(batch)}, n)
}

// Uncache forgets all that was read, so that it is read anew: who writes past us moves no moment.
func (s *Store) Uncache() {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	s.cache.reset(s.cache.at)
}
