package wire

// HelloFormat is the number of the greeting between relay and daemon; another number is refused.
const HelloFormat = 1

// Hello is the first line of a connection: who is there. An empty token means the local agent.
type Hello struct {
	Zavhoz int    `json:"zavhoz"`
	Token  string `json:"token"`
}

// HelloReply answers it in one line.
type HelloReply struct {
	Zavhoz int        `json:"zavhoz"`
	OK     bool       `json:"ok"`
	Agent  string     `json:"agent,omitempty"`
	Error  *FaultBody `json:"error,omitempty"`
}
