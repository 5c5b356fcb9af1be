package postgres

import (
	"fmt"

	"github.com/zavhoz/zavhoz/store"
)

// Outlasts tells whether the only row of a collection is still in memory after so many of another were put that do not all fit.
func Outlasts(evictions int) bool {
	c := newCache(moment{})
	value := make([]byte, cacheValue)
	c.put("few", "one", point{value, 0})
	for i := range cacheBytes/cacheValue + evictions {
		c.put("many", fmt.Sprint(i), point{value, 0})
	}
	_, there := c.points[store.Collection("few")]["one"]
	return there
}

// Knows tells what a store has in memory of a key, and whether it knows that.
func Knows(s *Store, c store.Collection, key string) (value []byte, known bool) {
	at, age := s.cache.now()
	return s.cache.get(c, key, at, age)
}

// FailNextCommit makes the next commit of s fail before anything of it is sent.
func FailNextCommit(s *Store, err error) { s.inject.Store(&err) }

// OnSend runs fn after a commit was sent, with what came of it, and takes its word for that.
func OnSend(s *Store, fn func(err error) error) {
	if fn == nil {
		s.onSend.Store(nil)
		return
	}
	s.onSend.Store(&fn)
}

// Paced is how many commits the store has measured.
func Paced(s *Store) int {
	s.writes.commit.Take()
	defer s.writes.commit.Give()
	return s.writes.pace.commits
}

// LeftOver says what a store that nobody calls holds on to, "" where nothing.
func LeftOver(s *Store) (what string) {
	w := s.writes
	w.run.Take()
	w.commit.Take()
	w.tell.Take()
	defer func() { w.tell.Give(); w.commit.Give(); w.run.Give() }()
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	if len(s.cache.coming) > 0 || w.last.Load() != nil || w.open != nil || w.pace.inside.Load() != 0 {
		what = fmt.Sprintf("%d commits are coming, last: %t, open: %t, %d calls inside", len(s.cache.coming), w.last.Load() != nil, w.open != nil, w.pace.inside.Load())
	}
	return what
}

// HoldTelling keeps who has committed from telling of it, until release.
func HoldTelling(s *Store) (release func()) {
	s.teller.mu.Lock()
	return s.teller.mu.Unlock
}

// LostAnswer is what a connection that breaks while an answer is waited for gives.
func LostAnswer() error { return &failed{unsure: true, again: true} }

// URLOf gives the address that s was opened with.
func URLOf(s *Store) Options { return s.opts }

// Demands gives what a server must show of itself.
func Demands(o Options) (auth, binding string) {
	c, err := o.config()
	if err != nil {
		panic(err)
	}
	return c.ConnConfig.RequireAuth, c.ConnConfig.ChannelBinding
}

// Recent is the check of a server's server_version_num.
func Recent(number string) error { return newEnough(number) }

// LeaderLock is the number of the lock that who leads under a name holds.
func LeaderLock(s *Store, name string) int64 { return lockOf(s.schema, "leader "+name) }
