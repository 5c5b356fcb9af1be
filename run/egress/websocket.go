package egress

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"sync"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// wholeMessage is the length in bytes up to which a message in one frame is searched as one and passed on as it came. Longer ones, and those in several frames, are
// passed on in frames of our own cut, while they come: RFC 6455 §5.4 lets a proxy do so where no extension was agreed on, and none is.
const wholeMessage = 64 << 10

// upgrade joins the command and the host over WebSocket. What the host says is searched by message (threat-model.md 43): a value in two messages is not found. What
// the command says is held to be frames, so that no other protocol goes through unread, and is not changed.
func (x *exchange) upgrade(w http.ResponseWriter, resp *http.Response) {
	host, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		x.refused(refusedSwitch, Failed).serve(w)
		return
	}
	if x.opened(Allowed) != nil {
		x.refused(refusedRecord, Failed).serve(w)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		x.refused(refusedInternal, Failed).serve(w)
		return
	}
	defer func() { _ = conn.Close() }()
	stop := x.whenCut(func() { _ = conn.Close(); _ = host.Close() })
	defer stop()
	var head bytes.Buffer
	_, _ = head.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
	_ = resp.Header.Write(&head)
	_, _ = head.WriteString("\r\n")
	if _, err := conn.Write(head.Bytes()); err != nil {
		_ = x.finish(Failed, fault.ConnectionFailed)
		return
	}
	var both sync.WaitGroup
	cut := func() { _, _ = conn.Close(), host.Close() }
	sent := true
	both.Go(func() {
		defer func() { _ = host.Close() }()
		sent = x.p.contained("websocket", cut, func() { x.event.Up, _ = forwardFrames(host, rw.Reader) })
	})
	received := x.p.contained("websocket", cut, func() { x.event.Down, err = x.searchFrames(conn, bufio.NewReaderSize(host, 16<<10)) })
	cut()
	both.Wait()
	if !sent || !received {
		_ = x.finish(Failed, fault.Internal)
		return
	}
	if err != nil && err != io.EOF && x.p.halted.Load() != nil {
		_ = x.finish(Failed, x.broken())
		return
	}
	_ = x.finish(Allowed, "")
}

// whenCut runs f when the proxy stops, until stop is called.
func (x *exchange) whenCut(f func()) (stop func()) {
	ended := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-x.p.flow.Done():
			f()
		case <-ended:
		}
	})
	return func() { close(ended); watcher.Wait() }
}

// forwardFrames passes the command's frames on as they are.
func forwardFrames(host io.Writer, command *bufio.Reader) (sent int64, err error) {
	var o order
	var head [maxFrameHeader]byte
	for {
		f, err := readFrame(command)
		if err != nil {
			return sent, err
		}
		if err := o.next(f); err != nil || !f.masked { // a client masks, always
			return sent, errFrame
		}
		b := f.append(head[:0])
		if f.length <= int64(command.Size()) { // one write a frame
			body, err := command.Peek(int(f.length))
			if err != nil {
				return sent, err
			}
			n, err := host.Write(append(b, body...))
			if sent += int64(n); err != nil {
				return sent, err
			}
			_, _ = command.Discard(int(f.length))
			continue
		}
		if _, err := host.Write(b); err != nil {
			return sent, err
		}
		n, err := io.CopyN(host, command, f.length)
		if sent += n + int64(len(b)); err != nil {
			return sent, err
		}
	}
}

// searchFrames passes the host's frames on, searched.
func (x *exchange) searchFrames(command io.Writer, host *bufio.Reader) (received int64, err error) {
	buf := chunks.Get().(*[chunk]byte)
	defer func() {
		clear(buf[:])
		chunks.Put(buf)
	}()
	out := &countedWriter{w: command}
	defer func() { received = out.n }()
	var o order
	var m *message
	for {
		f, err := readFrame(host)
		if err != nil {
			return out.n, err
		}
		if err := o.next(f); err != nil || f.masked { // a server never masks
			return out.n, errFrame
		}
		switch {
		case f.control() || m == nil && f.fin && f.length <= wholeMessage:
			err = x.passWhole(out, f, host, buf[:])
		default:
			if m == nil {
				m = newMessage(x, f.op, out)
			}
			err = m.take(f, host, buf[:])
			if f.fin {
				m = nil
			}
		}
		if err != nil {
			return out.n, err
		}
		if x.p.halted.Load() != nil {
			return out.n, errCut
		}
	}
}

// passWhole searches the payload of a frame that is a message, or stands for itself, in its place.
func (x *exchange) passWhole(out io.Writer, f frame, host io.Reader, buf []byte) error {
	var head [maxFrameHeader]byte
	h := f.append(head[:0])
	payload := buf[:f.length]
	if len(h)+len(payload) <= len(buf) { // one write a frame
		payload = buf[len(h):][:f.length]
	}
	if _, err := io.ReadFull(host, payload); err != nil {
		return unexpected(err)
	}
	found, err := mask(x.views, payload)
	if err != nil {
		return err
	}
	if !x.count(found) {
		return errCut
	}
	if len(h)+len(payload) <= len(buf) {
		copy(buf, h)
		_, err = out.Write(buf[:len(h)+len(payload)])
		return err
	}
	if _, err := out.Write(h); err != nil {
		return err
	}
	_, err = out.Write(payload)
	return err
}

// message is a message of the host that is passed on while it comes.
type message struct {
	x   *exchange
	op  byte // of its first frame; continuation after that was written
	out io.Writer
	s   *streams
	let bytes.Buffer // what the streams let out and is not in a frame yet
}

func newMessage(x *exchange, op byte, out io.Writer) *message {
	m := &message{x: x, op: op, out: out}
	m.s = newStreams(x.views, &m.let)
	return m
}

// take passes on one frame of the message. What may still become part of a match waits for the next.
func (m *message) take(f frame, host io.Reader, buf []byte) error {
	for left := f.length; left > 0; {
		n, err := host.Read(buf[:min(left, int64(len(buf)))])
		if n > 0 {
			left -= int64(n)
			if err := m.x.pass(m.s, buf[:n]); err != nil {
				return err
			}
			if err := m.emit(false); err != nil {
				return err
			}
		}
		if err != nil {
			return unexpected(err)
		}
	}
	if !f.fin {
		return nil
	}
	if err := m.s.Close(); err != nil {
		return err
	}
	if err := m.x.tally(m.s); err != nil {
		return err
	}
	return m.emit(true)
}

// emit writes what was let out as a frame.
func (m *message) emit(fin bool) error {
	if m.let.Len() == 0 && !fin {
		return nil
	}
	b := frame{fin: fin, op: m.op, length: int64(m.let.Len())}.append(make([]byte, 0, maxFrameHeader+m.let.Len()))
	_, err := m.out.Write(append(b, m.let.Bytes()...))
	clear(m.let.Bytes())
	m.let.Reset()
	m.op = opContinuation
	return err
}
