package mcp_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	mcpgo "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/mcp/relay"
)

// The benchmarks compare a 1 KiB echo through each door with a bare mcp-go server's in the same run: goal 11 is ≥ 80 % over HTTP and SSE and
// ≥ 60 % through the relay. Only the ratios mean anything.

// bare is mcp-go as its manual has it.
func bare() *server.MCPServer {
	s := server.NewMCPServer("bare", "1")
	s.AddTool(mcpgo.NewToolWithRawSchema("echo", "Echoes.", schema(`"text":{"type":"string"}`)), func(_ context.Context, r mcpgo.CallToolRequest) (*mcpgo.CallToolResult, error) {
		var in struct {
			Text string `json:"text"`
		}
		if err := r.BindArguments(&in); err != nil {
			return nil, err
		}
		return mcpgo.NewToolResultStructured(in, "echo"), nil
	})
	return s
}

func ours(b *testing.B) *mcp.Server {
	w := &world{t: b}
	s, err := mcp.New(mcp.Options{Tools: w.tools()[:1], Identity: newRegistry(), Version: "1"})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

var kilobyte = strings.Repeat("x", 1024)

// both runs the sub-benchmarks of a transport.
func both(b *testing.B, bareSide, oursSide func(b *testing.B) caller) {
	for _, callers := range []int{1, 32} {
		for _, side := range []struct {
			name string
			open func(b *testing.B) caller
		}{{"bare", bareSide}, {"zavhoz", oursSide}} {
			b.Run(fmt.Sprintf("callers=%d/%s", callers, side.name), func(b *testing.B) {
				c := side.open(b)
				c(1) // the first call pays for the connection
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for k := range callers {
					wg.Go(func() {
						for i := k; i < b.N; i += callers {
							c(i + 2)
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			})
		}
	}
}

// caller makes one echo call under an id and waits for its reply.
type caller func(id int)

// lineCaller shares one connection among all callers.
func lineCaller(b *testing.B, w io.Writer, r io.Reader) caller {
	x := newMux()
	go x.read(bufio.NewReaderSize(r, 64<<10), "")
	var mu sync.Mutex
	return func(id int) {
		done := x.expect(id)
		msg := call(strconv.Itoa(id), "echo", `{"text":"`+kilobyte+`"}`) + "\n"
		mu.Lock()
		_, err := io.WriteString(w, msg)
		mu.Unlock()
		if err != nil {
			b.Error(err)
		}
		<-done
	}
}

// mux hands replies to who waits for them.
type mux struct {
	mu sync.Mutex
	by map[int]chan struct{}
}

func newMux() *mux { return &mux{by: map[int]chan struct{}{}} }

func (x *mux) expect(id int) chan struct{} {
	done := make(chan struct{})
	x.mu.Lock()
	x.by[id] = done
	x.mu.Unlock()
	return done
}

func (x *mux) read(r *bufio.Reader, prefix string) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		rest, ok := strings.CutPrefix(line, prefix+`{"jsonrpc":"2.0","id":`)
		if !ok || !strings.Contains(rest, kilobyte) {
			continue
		}
		num, _, _ := strings.Cut(rest, ",")
		id, _ := strconv.Atoi(num)
		x.mu.Lock()
		close(x.by[id])
		delete(x.by, id)
		x.mu.Unlock()
	}
}

func BenchmarkStdio(b *testing.B) {
	both(b, func(b *testing.B) caller {
		inR, inW, outR, outW := pipes(b)
		ctx, cancel := context.WithCancel(context.Background())
		b.Cleanup(cancel)
		s := server.NewStdioServer(bare())
		server.WithWorkerPoolSize(64)(s)
		go s.Listen(ctx, inR, outW)
		return lineCaller(b, inW, outR)
	}, func(b *testing.B) caller {
		dir, err := os.MkdirTemp("", "zv")
		if err != nil {
			b.Fatal(err)
		}
		l, err := net.Listen("unix", filepath.Join(dir, "s"))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { l.Close(); os.RemoveAll(dir) })
		srv := ours(b)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go srv.ServeConn(context.Background(), c)
			}
		}()
		inR, inW, outR, outW := pipes(b)
		ctx, cancel := context.WithCancel(context.Background())
		b.Cleanup(cancel)
		go relay.Run(ctx, relay.Options{In: inR, Out: outW, Token: tokenA, Dial: func(context.Context) (net.Conn, error) { return net.Dial("unix", l.Addr().String()) }})
		return lineCaller(b, inW, outR)
	})
}

func pipes(b *testing.B) (inR, inW, outR, outW *os.File) {
	var err error
	if inR, inW, err = os.Pipe(); err != nil {
		b.Fatal(err)
	}
	if outR, outW, err = os.Pipe(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { inW.Close(); outW.Close(); outR.Close() })
	return inR, inW, outR, outW
}

// poster posts to url with keep-alive connections enough for all callers.
func poster(b *testing.B, url, session string, body func(id int) string) caller {
	cl := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.Cleanup(cl.CloseIdleConnections)
	return func(id int) {
		req, err := http.NewRequest("POST", url, strings.NewReader(body(id)))
		if err != nil {
			b.Error(err)
			return
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		req.Header.Set("Authorization", "Bearer "+tokenA)
		if session != "" {
			req.Header.Set("Mcp-Session-Id", session)
		}
		res, err := cl.Do(req)
		if err != nil {
			b.Error(err)
			return
		}
		defer res.Body.Close()
		got, _ := io.ReadAll(res.Body)
		if res.StatusCode != 202 && !bytes.Contains(got, []byte(kilobyte)) {
			b.Errorf("%d %s", res.StatusCode, got)
		}
	}
}

func echoCall(id int) string { return call(strconv.Itoa(id), "echo", `{"text":"`+kilobyte+`"}`) }

func BenchmarkHTTP(b *testing.B) {
	open := func(h http.Handler) func(b *testing.B) caller {
		return func(b *testing.B) caller {
			ts := httptest.NewServer(h)
			b.Cleanup(ts.Close)
			req, _ := http.NewRequest("POST", ts.URL+"/mcp", strings.NewReader(initialize))
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+tokenA)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				b.Fatal(err)
			}
			res.Body.Close()
			return poster(b, ts.URL+"/mcp", res.Header.Get("Mcp-Session-Id"), echoCall)
		}
	}
	both(b, open(server.NewStreamableHTTPServer(bare(), server.WithStateful(true))), open(ours(b).HTTPHandler()))
}

func BenchmarkSSE(b *testing.B) {
	open := func(h http.Handler) func(b *testing.B) caller {
		return func(b *testing.B) caller {
			ts := httptest.NewServer(h)
			b.Cleanup(ts.Close)
			req, _ := http.NewRequest("GET", ts.URL+"/sse", nil)
			req.Header.Set("Authorization", "Bearer "+tokenA)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { res.Body.Close() })
			r := bufio.NewReaderSize(res.Body, 64<<10)
			path := event(b, r)
			x := newMux()
			go x.read(r, "data: ")
			post := poster(b, ts.URL+path, "", echoCall)
			return func(id int) {
				done := x.expect(id)
				post(id)
				<-done
			}
		}
	}
	both(b, open(server.NewSSEServer(bare())), open(ours(b).HTTPHandler()))
}
