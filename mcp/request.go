package mcp

import (
	"encoding/json"
	"sync"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
)

// request is one message being served.
type request struct {
	srv    *Server
	caller Caller
	msg    wire.Message
	notify func(line []byte) // sends a notification before the reply; nil where the door or the client cannot take one
	asking asking

	mu    sync.Mutex
	over  bool
	last  float64
	begun bool
}

// progress is Call.Progress. It sends only what grows, as the specification demands, and nothing after the call is over: the last
// notification goes before the result (defect 4), because both take the same lock and the same way.
func (rq *request) progress(done, total float64, message string) {
	if rq.msg.Progress == nil || rq.notify == nil {
		return
	}
	note := progressNote{JSONRPC: "2.0", Method: "notifications/progress"}
	note.Params.Token, note.Params.Progress, note.Params.Total, note.Params.Message = rq.msg.Progress, done, total, message
	raw, err := json.Marshal(note)
	if err != nil { // NaN and Inf do not encode
		return
	}
	rq.mu.Lock()
	defer rq.mu.Unlock()
	if rq.over || rq.begun && done <= rq.last {
		return
	}
	rq.begun, rq.last = true, done
	rq.notify(raw)
}

func (rq *request) finish() {
	rq.mu.Lock()
	rq.over = true
	rq.mu.Unlock()
}

type progressNote struct {
	JSONRPC string `json:"jsonrpc"`
	Method  string `json:"method"`
	Params  struct {
		Token    json.RawMessage `json:"progressToken"`
		Progress float64         `json:"progress"`
		Total    float64         `json:"total,omitempty"`
		Message  string          `json:"message,omitempty"`
	} `json:"params"`
}
