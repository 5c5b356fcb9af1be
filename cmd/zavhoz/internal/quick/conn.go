package quick

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Bounds of an answer.
const (
	maxHead = 16 << 10  // bytes of status line and headers
	maxBody = 256 << 20 // bytes: a plan of a thousand large values
)

// conn is a connection to the operator's API. It speaks as much HTTP/1.1 as the daemon does on this path: answers of a known length.
type conn struct {
	f *os.File
	r *bufio.Reader
}

func (c *conn) close() { _ = c.f.Close() }

// write sends a request in one piece.
func (c *conn) write(path string, body []byte) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: zavhoz\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, len(body))
	b.Write(body)
	_, err := c.f.Write(b.Bytes())
	return err
}

// read reads the answer.
func (c *conn) read() (status int, answer []byte, err error) {
	c.r = bufio.NewReaderSize(c.f, maxHead)
	status, length, err := c.head()
	if err != nil {
		return 0, nil, err
	}
	answer = make([]byte, length)
	_, err = io.ReadFull(c.r, answer)
	return status, answer, err
}

// head reads the status line and the headers.
func (c *conn) head() (status, length int, err error) {
	length = -1
	for first := true; ; first = false {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		text := strings.TrimRight(string(line), "\r\n")
		if first {
			if status, err = statusOf(text); err != nil {
				return 0, 0, err
			}
			continue
		}
		if text == "" {
			break
		}
		if name, value, _ := strings.Cut(text, ":"); strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return 0, 0, ErrBroken
			}
		}
	}
	if length < 0 || length > maxBody {
		return 0, 0, ErrBroken
	}
	return status, length, nil
}

// statusOf reads "HTTP/1.1 200 OK".
func statusOf(line string) (int, error) {
	rest, ok := strings.CutPrefix(line, "HTTP/1.1 ")
	if !ok || len(rest) < 3 {
		return 0, ErrBroken
	}
	n, err := strconv.Atoi(rest[:3])
	if err != nil {
		return 0, ErrBroken
	}
	return n, nil
}

// report gives the function by which a run's end is told: sent whole and not waited for. The daemon reads what is in the socket after we are gone,
// and records it durably; where it is gone itself, its successor records the run as lost.
func (c *conn) report(runID string) func(End) {
	return func(e End) {
		_ = c.write("/api/v1/runs/"+runID+"/end", e.json())
		c.close()
	}
}
