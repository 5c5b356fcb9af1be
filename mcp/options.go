package mcp

import (
	"context"
	"log/slog"
	"net/netip"
	"time"
)

// Agent is who a token belongs to, as the doors need to know it.
type Agent struct {
	ID         string // agt_…
	Name       string
	Attended   bool
	Unknown    bool // the vault is locked: who comes cannot be told yet, and is served nothing but what everybody may know
	PerMinute  int  // requests a minute; 0 means Limits.PerMinute
	Concurrent int  // requests at once; 0 means Limits.Concurrent
}

// Identity resolves agents. It is asked again and again, so a removed agent loses its open doors too.
type Identity interface {
	// Authenticate gives the agent of a token; any error means that the token opens nothing.
	Authenticate(ctx context.Context, token string) (Agent, error)
	// Local gives the agent of who comes by the unix socket without a token.
	Local(ctx context.Context) (Agent, error)
}

// Resource is one entry of the inventory, public parts only.
type Resource struct{ Handle, Title, Description string }

// Inventory serves zavhoz://resources/{handle}. Implementations authorise the caller themselves.
type Inventory interface {
	// List gives what the caller may see, at most a few hundred.
	List(ctx context.Context, c Caller) ([]Resource, error)
	// Read gives a compact JSON object about one handle.
	Read(ctx context.Context, c Caller, handle string) (any, error)
}

// Prompt is a fixed text that a client may offer to its user.
type Prompt struct{ Name, Title, Description, Text string }

// Limits bound what a client can take. Zero values mean the defaults named here.
type Limits struct {
	MessageBytes     int           // of one message; 4 MiB
	ResultBytes      int           // of one structured result; 1 MiB: a net, tools cap theirs far lower
	PerMinute        int           // requests of one agent over all its doors; 600
	Concurrent       int           // requests of one agent at once over all its doors; 256
	AsksPerHour      int           // questions put to the person who attends one agent, over all its doors; 20
	Workers          int           // requests at once on one connection; 64 (mcp-go's five stall when five calls block)
	QueuePerConn     int           // requests waiting on one connection, and replies waiting to be written; 256
	MaxSessions      int           // sessions over HTTP, all agents; 1000
	MaxConns         int           // connections over HTTP, all together; 1024
	ConnsPerAgent    int           // of them one agent's; 256
	Strangers        int           // of them those over which no token has come; 256
	StrangersPerAddr int           // of those from one address that is neither loopback nor a trusted proxy; 32
	SessionIdle      time.Duration // after which a session over HTTP is forgotten; 30 min
	CallTimeout      time.Duration // of a tool that names none; 2 min
	AskTimeout       time.Duration // for a person to answer what is put to them during a call; 25 s: many clients give up a call after 60, and the work comes after the answer
	WriteTimeout     time.Duration // for a client to take one reply; 30 s
	HelloTimeout     time.Duration // for a connection to say who it is, and for a request's body to arrive; 10 s
}

// HTTP says by which names the HTTP door may be reached.
type HTTP struct {
	Hosts        []string       // Host headers taken besides loopback names, as host or host:port
	Origins      []string       // Origin headers taken besides the door's own, as scheme://host[:port]
	TrustedProxy []netip.Prefix // whose X-Forwarded-* are believed
}

// Options make a Server.
type Options struct {
	Tools        []Tool
	Inventory    Inventory // nil: no resources
	Prompts      []Prompt
	Identity     Identity
	Instructions string // for the model, under 2 KB
	Version      string
	Log          *slog.Logger // nil: nothing is logged
	Limits       Limits
	HTTP         HTTP
	Replicas     Replicas         // the other servers behind the same address; nil: there are none
	Clock        func() time.Time // nil: time.Now
}

func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	defD := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.MessageBytes, 4<<20)
	def(&l.ResultBytes, 1<<20)
	def(&l.PerMinute, 600)
	def(&l.Concurrent, 256)
	def(&l.AsksPerHour, 20)
	def(&l.Workers, 64)
	def(&l.QueuePerConn, 256)
	def(&l.MaxSessions, 1000)
	def(&l.MaxConns, 1024)
	def(&l.ConnsPerAgent, 256)
	def(&l.Strangers, 256)
	def(&l.StrangersPerAddr, 32)
	defD(&l.SessionIdle, 30*time.Minute)
	defD(&l.CallTimeout, 2*time.Minute)
	defD(&l.AskTimeout, 25*time.Second)
	defD(&l.WriteTimeout, 30*time.Second)
	defD(&l.HelloTimeout, 10*time.Second)
	return l
}
