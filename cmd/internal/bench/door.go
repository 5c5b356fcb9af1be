package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// calls are tool calls, all alike but for their ids.
type calls struct {
	tool, arguments string
	mark            string // what a right answer holds
}

func (c calls) message(id int) string {
	return `{"jsonrpc":"2.0","id":` + strconv.Itoa(id) + `,"method":"tools/call","params":{"name":"` + c.tool + `","arguments":` + c.arguments + `}}`
}

// right tells whether a reply is what was asked for.
func (c calls) right(reply string) error {
	if !strings.Contains(reply, c.mark) && !strings.Contains(reply, strings.ReplaceAll(c.mark, `"`, `\"`)) {
		return fmt.Errorf("%s was answered with %.300s", c.tool, reply)
	}
	return nil
}

// caller is an open door through which calls go.
type caller interface {
	call(n int) error
	close() error
}

// overHTTP is a session of streamable HTTP, or, with a mux, of HTTP+SSE.
type overHTTP struct {
	calls
	client         *http.Client
	url            string
	session, token string
	answers        *answers // nil: the reply is the answer
	stream         io.Closer
}

func newHTTP(base, token string, c calls) *overHTTP {
	return &overHTTP{calls: c, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}, url: base, token: token}
}

func dialHTTP(_ context.Context, base, token string, c calls) (caller, error) {
	h := newHTTP(base+"/mcp", token, c)
	_, header, err := h.post(hello)
	if err != nil {
		return nil, err
	}
	h.session = header.Get("Mcp-Session-Id")
	_, _, err = h.post(ready)
	return h, err
}

func (h *overHTTP) post(message string) (string, http.Header, error) {
	req, err := http.NewRequest(http.MethodPost, h.url, strings.NewReader(message))
	if err != nil {
		return "", nil, err
	}
	res, err := h.do(req)
	if err != nil {
		return "", nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("%s: %.200s", res.Status, body)
	}
	return string(body), res.Header, err
}

func (h *overHTTP) do(req *http.Request) (*http.Response, error) {
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if h.token != "" {
		req.Header.Set("Authorization", "Bearer "+h.token)
	}
	if h.session != "" {
		req.Header.Set("Mcp-Session-Id", h.session)
	}
	return h.client.Do(req)
}

func (h *overHTTP) call(n int) error {
	if h.answers == nil {
		reply, _, err := h.post(h.message(n))
		return errors.Join(err, h.right(reply))
	}
	id, told := h.answers.expect()
	if _, _, err := h.post(h.message(id)); err != nil {
		return err
	}
	return h.answers.wait(told, h.calls)
}

func (h *overHTTP) close() error {
	if h.stream != nil {
		h.stream.Close()
	}
	h.client.CloseIdleConnections()
	return nil
}

func dialSSE(ctx context.Context, base, token string, c calls) (caller, error) {
	h := newHTTP(base, token, c)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/sse", nil)
	if err != nil {
		return nil, err
	}
	res, err := h.do(req)
	if err != nil {
		return nil, err
	}
	h.stream = res.Body
	r := bufio.NewReaderSize(res.Body, 64<<10)
	for path := ""; path == ""; {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if rest, ok := strings.CutPrefix(line, "data: "); ok {
			path = strings.TrimSpace(rest)
			h.url = path
			if strings.HasPrefix(path, "/") {
				h.url = base + path
			}
		}
	}
	h.answers = newAnswers()
	go h.answers.read(r, "data: ")
	return h, h.greet()
}

func (h *overHTTP) greet() error {
	_, told := h.answers.expectID(1)
	_, _, err := h.post(hello)
	if err == nil {
		<-told
		_, _, err = h.post(ready)
	}
	return err
}

// overPipe is a program that speaks MCP on its input and output.
type overPipe struct {
	calls
	p       *process
	mu      sync.Mutex
	answers *answers
}

func dialStdio(ctx context.Context, env []string, c calls, bin string, args ...string) (*overPipe, error) {
	p, err := launch(ctx, env, bin, args...)
	if err != nil {
		return nil, err
	}
	o := &overPipe{calls: c, p: p, answers: newAnswers()}
	go o.answers.read(bufio.NewReaderSize(p.out, 64<<10), "")
	_, told := o.answers.expectID(1)
	if err := o.write(hello); err != nil {
		return nil, err
	}
	<-told
	return o, o.write(ready)
}

func (o *overPipe) write(message string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, err := io.WriteString(o.p.in, message+"\n")
	return err
}

func (o *overPipe) call(int) error {
	id, told := o.answers.expect()
	if err := o.write(o.message(id)); err != nil {
		return err
	}
	return o.answers.wait(told, o.calls)
}

// ask gives one reply whole.
func (o *overPipe) ask(id int) (string, error) {
	_, told := o.answers.expectID(id)
	if err := o.write(o.message(id)); err != nil {
		return "", err
	}
	reply := <-told
	return reply, o.right(reply)
}

func (o *overPipe) close() error { return o.p.end() }

// answers hands replies to who waits for them, by id.
type answers struct {
	mu   sync.Mutex
	next int
	by   map[int]chan string
	end  chan struct{} // closed when no more will come
}

func newAnswers() *answers {
	return &answers{by: map[int]chan string{}, next: 100, end: make(chan struct{})}
}

func (a *answers) expect() (int, chan string) {
	a.mu.Lock()
	a.next++
	id := a.next
	a.mu.Unlock()
	return a.expectID(id)
}

func (a *answers) expectID(id int) (int, chan string) {
	told := make(chan string, 1)
	a.mu.Lock()
	a.by[id] = told
	a.mu.Unlock()
	return id, told
}

func (a *answers) wait(told chan string, c calls) error {
	select {
	case reply := <-told:
		return c.right(reply)
	case <-a.end:
		return errors.New("the door was closed")
	case <-time.After(patience):
		return errors.New("no answer")
	}
}

func (a *answers) read(r *bufio.Reader, prefix string) {
	defer close(a.end)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		_, rest, ok := strings.Cut(line, `"id":`)
		if !ok || !strings.HasPrefix(line, prefix+"{") {
			continue
		}
		num := rest[:strings.IndexAny(rest+",", ",}")]
		id, err := strconv.Atoi(num)
		if err != nil {
			continue
		}
		a.mu.Lock()
		told := a.by[id]
		delete(a.by, id)
		a.mu.Unlock()
		if told != nil {
			told <- line
		}
	}
}
