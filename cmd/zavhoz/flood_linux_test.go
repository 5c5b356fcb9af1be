package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// serveHTTP starts the daemon as a service with HTTP and gives its address and pid.
func (p *place) serveHTTP() (addr string, pid int) {
	p.t.Helper()
	c := p.cmd("serve", "--listen", "127.0.0.1:0")
	log, err := c.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	var line struct{ Msg, Listen string }
	for line.Msg != "serving" && lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			p.t.Fatalf("the log is no JSON lines: %s", lines.Bytes())
		}
	}
	read := make(chan bool)
	go func() { // a full pipe would stop the daemon
		defer close(read)
		for lines.Scan() {
		}
	}()
	p.t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		<-read
		_ = c.Wait()
	})
	return line.Listen, c.Process.Pid
}

// Thousands of silent connections leave the daemon with a fixed number of them, and an agent gets its answers in the middle of it: over the connection that it has
// and over new ones.
func TestAttack67_AFloodOfConnections(t *testing.T) {
	p := initialised(t)
	token := strings.TrimSpace(p.ok("agent", "add", "web"))
	p.stop()
	addr, pid := p.serveHTTP()

	ping := func(c *http.Client) error {
		req, err := http.NewRequest("POST", "http://"+addr+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":`+handshakeJSON(t)+`}`))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		res, err := c.Do(req)
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode != 200 {
			return fmt.Errorf("status %d", res.StatusCode)
		}
		return nil
	}
	kept := &http.Client{Transport: &http.Transport{}}
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if err := ping(kept); err != nil {
		t.Fatal(err)
	}

	const flooders, each, hold = 4, 600, 200
	var flood sync.WaitGroup
	var told, running, asked atomic.Int64
	deadline := time.Now().Add(patience)
	running.Store(flooders)
	for range flooders {
		flood.Go(func() {
			defer running.Add(-1)
			var held []net.Conn
			defer func() {
				for _, c := range held {
					c.Close()
				}
			}()
			for i := 0; i < each || (told.Load() == 0 || asked.Load() == 0) && time.Now().Before(deadline); i++ { // longer where the daemon has no turn yet
				c, err := net.Dial("tcp", addr)
				if err != nil {
					continue
				}
				if held = append(held, c); len(held) > hold {
					_ = held[0].SetReadDeadline(time.Now().Add(time.Millisecond))
					b := make([]byte, 512)
					if n, _ := held[0].Read(b); strings.HasPrefix(string(b[:n]), "HTTP/1.1 503 ") && strings.Contains(string(b[:n]), "Retry-After:") {
						told.Add(1)
					}
					held[0].Close()
					held = held[1:]
				}
			}
		})
	}
	most := 0
	for running.Load() > 0 {
		if err := ping(kept); err != nil {
			t.Errorf("over the connection that the agent has: %v", err)
			break
		}
		var err error
		for range 3 { // a client's own retries
			if err = ping(fresh); err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("over a new connection: %v", err)
			break
		}
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, len(fds))
		asked.Add(1)
	}
	flood.Wait()
	t.Logf("%d rounds of requests, at most %d descriptors, %d strangers told to come later", asked.Load(), most, told.Load())
	if asked.Load() == 0 || told.Load() == 0 {
		t.Errorf("%d rounds during the flood, %d were told to come later", asked.Load(), told.Load())
	}
	if most > 400 {
		t.Errorf("the flood took %d descriptors", most)
	}
}

func handshakeJSON(t *testing.T) string {
	t.Helper()
	b, err := json.Marshal(handshake())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
