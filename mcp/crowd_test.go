package mcp_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/mcp"
)

// bounded serves the HTTP door with its listener bounded, and gives the address.
func bounded(t *testing.T, l mcp.Limits, change ...func(*mcp.Options)) (*web, string) {
	t.Helper()
	w := newWorld(t, append(change, func(o *mcp.Options) { o.Limits = l })...)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: w.srv.HTTPHandler(), ConnContext: w.srv.ConnContext}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(w.srv.Bound(inner)) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return &web{w, "http://" + inner.Addr().String()}, inner.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

const plainPost = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

// ask sends a request over a connection of its own choice and gives the status, 0 where the connection is closed.
func ask(t *testing.T, c net.Conn, addr, token string) *http.Response {
	t.Helper()
	_, port, _ := net.SplitHostPort(addr)
	_, err := io.WriteString(c, strings.Replace(plainPost, "localhost", "localhost:"+port, 1)+"Authorization: Bearer "+token+"\r\nContent-Length: "+"2"+"\r\n\r\n{}")
	if err != nil {
		return nil
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res
}

// Strangers drive out strangers, the first come first, each told why; who has shown a token stays.
func TestAttack67_StrangersDriveOutStrangers(t *testing.T) {
	_, addr := bounded(t, mcp.Limits{Strangers: 4, MaxConns: 8})
	mine := dial(t, addr)
	if res := ask(t, mine, addr, tokenA); res == nil || res.StatusCode != http.StatusBadRequest { // {} is no message: it came past the token
		t.Fatalf("the agent's first request: %v", res)
	}
	var crowd []net.Conn
	for range 20 {
		crowd = append(crowd, dial(t, addr))
	}
	for i, c := range crowd[:16] {
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
			t.Fatalf("stranger %d: %v %v", i, res, err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || !strings.Contains(string(body), `"code":"busy"`) {
			t.Fatalf("stranger %d reads %q %v", i, body, err)
		}
	}
	if res := ask(t, mine, addr, tokenA); res == nil {
		t.Fatal("the agent's connection was driven out")
	}
	if res := ask(t, crowd[19], addr, tokenB); res == nil || res.StatusCode != http.StatusBadRequest {
		t.Fatalf("the last of the crowd has a token and gets %v", res)
	}
	// a wrong token costs the connection
	if res := ask(t, crowd[18], addr, "zvh_agt_wrong"); res == nil || res.StatusCode != http.StatusUnauthorized || !res.Close {
		t.Fatalf("a wrong token gets %v", res)
	}
}

// One agent cannot take all connections: it is told when to come again, and another agent still gets in.
func TestAttack67_OneAgentsConnections(t *testing.T) {
	_, addr := bounded(t, mcp.Limits{ConnsPerAgent: 3})
	for range 3 {
		if res := ask(t, dial(t, addr), addr, tokenA); res == nil || res.StatusCode != http.StatusBadRequest {
			t.Fatalf("within the number: %v", res)
		}
	}
	if res := ask(t, dial(t, addr), addr, tokenA); res == nil || res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" || !res.Close {
		t.Fatalf("one too many: %v", res)
	}
	if res := ask(t, dial(t, addr), addr, tokenB); res == nil || res.StatusCode != http.StatusBadRequest {
		t.Fatalf("another agent: %v", res)
	}
}

// Where agents' connections have taken every place, who comes is told so at once.
func TestAttack67_NoPlaceIsLeft(t *testing.T) {
	_, addr := bounded(t, mcp.Limits{MaxConns: 3})
	var mine []net.Conn
	for range 3 {
		c := dial(t, addr)
		if ask(t, c, addr, tokenA) == nil {
			t.Fatal("no answer")
		}
		mine = append(mine, c)
	}
	res, err := http.ReadResponse(bufio.NewReader(dial(t, addr)), nil)
	if err != nil || res.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("%v %v", res, err)
	}
	mine[0].Close() // a place that is given back is there again
	for res = nil; res == nil || res.StatusCode == http.StatusServiceUnavailable; {
		res = ask(t, dial(t, addr), addr, tokenB)
	}
}

// remote is a connection from an address of a test's choice.
type remote struct {
	net.Conn
	addr net.Addr
}

func (r remote) RemoteAddr() net.Addr { return r.addr }

// gate is a listener that is fed.
type gate chan net.Conn

func (g gate) Accept() (net.Conn, error) {
	c, ok := <-g
	if !ok {
		return nil, errors.New("closed")
	}
	return c, nil
}
func (g gate) Close() error   { return nil }
func (g gate) Addr() net.Addr { return &net.TCPAddr{} }

// One address drives out its own alone, however many addresses there are; v4 in v6 is one address with v4.
func TestAttack67_OneAddressDrivesOutItsOwn(t *testing.T) {
	w := newWorld(t, func(o *mcp.Options) { o.Limits = mcp.Limits{StrangersPerAddr: 2} })
	g := make(gate, 100)
	l := w.srv.Bound(g)
	come := func(ip string) net.Conn {
		a, b := net.Pipe()
		g <- remote{b, &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}}
		if _, err := l.Accept(); err != nil {
			t.Fatal(err)
		}
		return a
	}
	quiet := come("203.0.113.7")
	var loud []net.Conn
	reads := make(chan string, 10)
	for i := range 4 {
		if i == 2 {
			for _, c := range loud {
				go func() {
					b, _ := io.ReadAll(c)
					reads <- string(b)
				}()
			}
		}
		loud = append(loud, come([]string{"198.51.100.1", "::ffff:198.51.100.1"}[i%2]))
	}
	for range 2 {
		if got := <-reads; !strings.HasPrefix(got, "HTTP/1.1 503 ") {
			t.Fatalf("who is driven out reads %q", got)
		}
	}
	open := make(chan error, 1)
	go func() {
		_, err := quiet.Write([]byte("x")) // a pipe: it waits for a reader where the other end is open
		open <- err
	}()
	select {
	case err := <-open:
		t.Fatalf("another address was driven out: %v", err)
	default:
	}
	quiet.Close()
	<-open
}
