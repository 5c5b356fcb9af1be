package relay_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// question reads what the client is asked.
func (x *door) question() (id string) {
	x.t.Helper()
	line, err := x.out.ReadString('\n')
	var q struct {
		ID     json.RawMessage
		Method string
	}
	if err != nil || json.Unmarshal([]byte(line), &q) != nil || q.Method != "elicitation/create" {
		x.t.Fatalf("no question: %s %v", line, err)
	}
	return string(q.ID)
}

// TestAQuestionGoesThroughTheRelay, and its answer back, also beside a call of the client's with the same id. Of a daemon that ends with an open question the call is answered, and the late answer goes to
// nobody. The next daemon knows what the client can: its handshake was made again.
func TestAQuestionGoesThroughTheRelay(t *testing.T) {
	d := newDaemon(t)
	x := open(t, d, "good")
	x.send(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{"url":{}}},"clientInfo":{"name":"t","version":"1"}}}`)
	x.recv(`"protocolVersion"`)
	x.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	ask := `,"method":"tools/call","params":{"name":"asks","arguments":{}}}`
	x.send(`{"jsonrpc":"2.0","id":1` + ask)
	q := x.question()
	x.send(`{"jsonrpc":"2.0","id":` + q + `,"method":"tools/call","params":{"name":"who","arguments":{}}}`)
	x.recv(`"id":`+q, "you are greta")
	x.send(`{"result":{"action":"accept"},"jsonrpc":"2.0","id":` + q + `}`)
	x.recv(`"id":1`, "said accept")

	x.send(`{"jsonrpc":"2.0","id":2` + ask)
	late := x.question()
	d.kill()
	x.recv(`"id":2`, "daemon_restarted")
	x.send(`{"jsonrpc":"2.0","id":` + late + `,"result":{"action":"accept"}}`)
	x.send(`{"jsonrpc":"2.0","id":3` + ask)
	q = x.question()
	x.send(`{"jsonrpc":"2.0","id":` + late + `,"result":{"action":"accept"}}`)
	x.send(`{"jsonrpc":"2.0","id":` + q + `,"result":{"action":"decline"}}`)
	x.recv(`"id":3`, "said decline")
	if !strings.HasPrefix(q, `"ask_`) || q == late {
		t.Errorf("%s %s", q, late)
	}
}
