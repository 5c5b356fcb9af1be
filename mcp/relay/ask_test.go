package relay_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/mcp/relay"
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

// TestAQuestionGoesThroughTheRelay, and its answer back, also beside a call of the client's with the same id. Of a daemon that ends with an open question the question is withdrawn, the call is answered, and the late answer goes to
// nobody. The next daemon knows what the client can: its handshake was made again.
func TestAQuestionGoesThroughTheRelay(t *testing.T) {
	d := newDaemon(t)
	x := open(t, d, "good")
	x.send(asker)
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
	x.recv(`"notifications/cancelled"`, `"requestId":`+late)
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

const asker = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{"url":{}}},"clientInfo":{"name":"t","version":"1"}}}`

// TestAQuestionIsWithdrawnOnce: what was answered, or taken back by the daemon that asked, is not taken back again when it ends, nor by the end of the next one.
func TestAQuestionIsWithdrawnOnce(t *testing.T) {
	d := newDaemon(t)
	x := open(t, d, "good", func(o *relay.Options) { o.Drain = time.Millisecond })
	x.send(asker)
	x.recv(`"protocolVersion"`)
	ends := map[string]func(q string){
		"answered": func(q string) {
			x.send(`{"jsonrpc":"2.0","id":` + q + `,"result":{"action":"accept"}}`)
			x.recv(`"id":"c"`, "said accept")
		},
		"given up": func(q string) {
			x.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"c"}}`)
			x.recv(`"notifications/cancelled"`, `"requestId":`+q)
		},
		"left": func(q string) {
			d.kill()
			x.recv(`"notifications/cancelled"`, `"requestId":`+q)
			x.recv(`"id":"c"`, "daemon_restarted")
		},
	}
	for range 2 {
		for how, end := range ends {
			x.send(call(`"c"`, "asks"))
			end(x.question())
			x.send(call(`"next"`, "who"))
			x.recv(`"id":"next"`, "you are greta")
			d.kill()
			x.send(`{"jsonrpc":"2.0","id":"` + how + `","method":"tools/list"}`)
			x.recv(`"id":"`+how+`"`, `"name":"who"`)
		}
	}
	x.send(call(`"c"`, "asks"))
	q := x.question()
	x.in.Close()
	x.recv(`"notifications/cancelled"`, `"requestId":`+q)
	x.recv(`"id":"c"`, "daemon_restarted")
	if rest, err := x.out.ReadString('\n'); rest != "" || err == nil {
		t.Errorf("after the end: %q", rest)
	}
}

// TestAnyQuestionIsWithdrawnAsItCame: by the bytes of its id, whatever it is about; and a daemon that asks without end does not fill the relay.
func TestAnyQuestionIsWithdrawnAsItCame(t *testing.T) {
	d := newDaemon(t)
	d.set(nil, true)
	x := open(t, d, "good")
	x.send(call("0", "who"))
	<-d.seen
	d.mu.Lock()
	conn := d.conns[0]
	d.mu.Unlock()
	ids := []string{`7`, `"7"`, `"a\u0041<&>\""`, `1e3`}
	go func() {
		for _, id := range ids {
			fmt.Fprintf(conn, `{"jsonrpc":"2.0","id":%s,"method":"sampling/createMessage","params":{}}`+"\n", id)
		}
		for i := range 1000 {
			fmt.Fprintf(conn, `{"jsonrpc":"2.0","id":%d,"method":"roots/list"}`+"\n", i+100)
		}
		fmt.Fprintln(conn, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"7"}}`)
	}()
	for range len(ids) + 1001 {
		if _, err := x.out.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	x.send(`{"jsonrpc":"2.0","id":1e3,"error":{"code":-32601,"message":"no"}}`)
	<-d.seen
	d.kill()
	x.recv(`"requestId":7,`)
	x.recv(`"requestId":"a\u0041<&>\"",`)
	n := 1 // of the two, for the reply to the call comes among the others
	d.set(nil, false)
	x.send(call("5", "who"))
	for {
		line, err := x.out.ReadString('\n')
		if err != nil || strings.Contains(line, `"id":5`) {
			break
		}
		n++
	}
	if n < 3 || n > 100 {
		t.Errorf("%d were withdrawn", n)
	}
}
