// Package time4vpstest is a simulator of the Time4VPS account API: a real HTTP server that answers as the provider was seen to, with all its oddities,
// and that can be told to fail in every way that a provider fails.
//
// Promise: what a client sees here is what it sees there: 401 for a wrong password, a foreign address and a throttle alike; lists of active servers only;
// root passwords inside a read call; dates in two forms; either of two shapes for addresses; tasks that are done later. It counts requests. It is for tests
// and demonstrations, on loopback, and knows no real account.
//
// Defect stopped: tests against a double that is kinder than the provider.
package time4vpstest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// The account that a Sim has unless told otherwise.
const (
	User     = "account@example.net"
	Password = "sim-account-7Qx2vN4kP9"
)

// Server is a machine at the simulated provider. Zero fields get believable values by Add.
type Server struct {
	ID           int
	IP           string // "-" in Add: none yet
	Domain       string
	Status       string // of its service: Active (listed), Suspended, Pending, Terminated, Cancelled
	Cores        int
	RAMMB        int
	DiskMB       int
	UsedRAMMB    int
	UsedDiskMB   int
	OS           string
	More         []string // additional addresses
	RootPassword string   // what last_tasks and a reset give away
	Raw          string   // in the list: this JSON in place of the server's own
	RawDetails   string   // likewise for its details
}

// Style says how replies are shaped, where the provider has two ways.
type Style struct {
	SingleObject bool // a list of one is the object itself
	PlainID      bool // "id" for "server_id"
	QuotedIDs    bool // ids as strings
	BareIPs      bool // {"ips":[…]} for [{"ips":[…]}]
	NullTimes    bool // null for "" in a task that is not done
	NaiveTimes   bool // "2006-01-02 15:04:05" for RFC 3339
	NullFields   bool // details with null where numbers could be
	PlainResult  bool // "Password: …" for the HTML anchor
}

// Sim is a simulated account. Its methods may be called while it serves.
type Sim struct {
	mu       sync.Mutex
	user     string
	password string
	style    Style
	servers  map[int]*Server
	order    []int
	tasks    map[int]*task
	nextTask int
	polls    int // after how many polls a task is done
	rules    []*Rule
	counts   map[string]int
	listing  []byte // the rendered list; nil: to be rendered
	closed   chan struct{}
	once     sync.Once
}

// New makes an empty account with User and Password.
func New() *Sim {
	return &Sim{
		user: User, password: Password, servers: map[int]*Server{}, tasks: map[int]*task{}, nextTask: 7000, polls: 1,
		counts: map[string]int{}, closed: make(chan struct{}),
	}
}

// SetLogin changes the account's login.
func (s *Sim) SetLogin(user, password string) {
	s.change(func() { s.user, s.password = user, password })
}

// SetStyle changes how replies are shaped.
func (s *Sim) SetStyle(style Style) { s.change(func() { s.style = style }) }

// SetPolls says after how many polls a task is done; 0: at once.
func (s *Sim) SetPolls(n int) { s.change(func() { s.polls = n }) }

// Add adds servers, or replaces those with the same id. It fills what is zero.
func (s *Sim) Add(servers ...Server) {
	s.change(func() {
		for _, v := range servers {
			v.fill(len(s.order))
			if s.servers[v.ID] == nil {
				s.order = append(s.order, v.ID)
			}
			s.servers[v.ID] = &v
		}
	})
}

// Populate adds n servers with ids from 300001 and addresses from 198.18.0.1, and gives their ids.
func (s *Sim) Populate(n int) []int {
	list := make([]Server, n)
	ids := make([]int, n)
	for i := range list {
		ids[i] = 300_001 + i
		list[i].ID = ids[i]
	}
	s.Add(list...)
	return ids
}

// Edit changes a server. It panics on one that is not there, for a test that names it is wrong.
func (s *Sim) Edit(id int, fn func(*Server)) {
	s.change(func() { fn(s.servers[id]) })
}

// Remove deletes servers: service and all.
func (s *Sim) Remove(ids ...int) {
	s.change(func() {
		for _, id := range ids {
			delete(s.servers, id)
		}
		s.order = slices.DeleteFunc(s.order, func(id int) bool { return slices.Contains(ids, id) })
	})
}

// SetStatus changes the status of services: "Suspended" takes a server out of the list, "Active" back in.
func (s *Sim) SetStatus(status string, ids ...int) {
	s.change(func() {
		for _, id := range ids {
			s.servers[id].Status = status
		}
	})
}

// Passwords gives every secret that the account could give away: its own password and each server's root password.
func (s *Sim) Passwords() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []string{s.password}
	for _, id := range s.order {
		all = append(all, s.servers[id].RootPassword)
	}
	return all
}

// Requests counts the requests so far whose "METHOD /path" begins with prefix; "" counts all.
func (s *Sim) Requests(prefix string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for what, c := range s.counts {
		if strings.HasPrefix(what, prefix) {
			n += c
		}
	}
	return n
}

// ResetRequests forgets the counts.
func (s *Sim) ResetRequests() { s.change(func() { clear(s.counts) }) }

// Close ends hanging replies. It does not stop a server that Start started.
func (s *Sim) Close() { s.once.Do(func() { close(s.closed) }) }

func (s *Sim) change(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listing = nil
	fn()
}

// fill gives zero fields believable values; n is how many servers came before.
func (v *Server) fill(n int) {
	if v.ID == 0 {
		v.ID = 300_001 + n
	}
	text := func(at *string, to string) {
		if *at == "" {
			*at = to
		}
	}
	number := func(at *int, to int) {
		if *at == 0 {
			*at = to
		}
	}
	i := n + 1
	text(&v.IP, fmt.Sprintf("198.%d.%d.%d", 18+i>>16, i>>8&0xff, i&0xff))
	if v.IP == "-" {
		v.IP = ""
	}
	text(&v.Domain, "host-"+strconv.Itoa(v.ID)+".example.net")
	text(&v.Status, "Active")
	text(&v.OS, "kvm-ubuntu-24.04-gpt-x86_64")
	text(&v.RootPassword, "rootpw-"+strconv.Itoa(v.ID)+"-Zk4mQ8wT")
	number(&v.Cores, 2)
	number(&v.RAMMB, 4096)
	number(&v.DiskMB, 81_920)
	number(&v.UsedRAMMB, 1180)
	number(&v.UsedDiskMB, 9300)
}

var _ http.Handler = (*Sim)(nil)
