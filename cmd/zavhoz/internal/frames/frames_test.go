package frames_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/cmd/zavhoz/internal/frames"
)

func frame(t frames.Type, payload string) string {
	return string(binary.BigEndian.AppendUint32([]byte{byte(t)}, uint32(len(payload)))) + payload
}

func TestThereAndBack(t *testing.T) {
	var wire bytes.Buffer
	w := frames.NewWriter(&wire)
	long := strings.Repeat("x", frames.MaxData+1)
	for _, err := range []error{
		w.Control(frames.Started, frames.Start{RunID: "run_1", Isolation: "sealed", Delivered: map[string]string{"bot": "broker"}}),
		func() error { _, err := io.WriteString(w.Stream(frames.Stdout), long); return err }(),
		w.Taken(70000), w.Control(frames.Ended, frames.End{Exit: 7, Redactions: 2}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r := frames.NewReader(&wire, frames.FromDaemon)
	var got []frames.Type
	var out strings.Builder
	for {
		typ, payload, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, typ)
		switch typ {
		case frames.Started:
			var s frames.Start
			if err := frames.Decode(payload, &s); err != nil || s.RunID != "run_1" || s.Delivered["bot"] != "broker" {
				t.Errorf("%+v, %v", s, err)
			}
		case frames.Stdout:
			out.Write(payload)
		case frames.Window:
			if frames.Count(payload) != 70000 {
				t.Error(frames.Count(payload))
			}
		case frames.Ended:
			var e frames.End
			if err := frames.Decode(payload, &e); err != nil || e.Exit != 7 {
				t.Errorf("%+v, %v", e, err)
			}
		}
	}
	if string(got) != "SoowX" || out.String() != long {
		t.Errorf("%q, %d bytes", got, out.Len())
	}
}

// What one side may not say, or not at such length, ends the connection before anything is allocated for it.
func TestAttack67_MalformedFrames(t *testing.T) {
	for name, c := range map[string]struct {
		wire string
		from frames.Direction
		want error
	}{
		"another direction":   {frame(frames.Stdout, "x"), frames.ToDaemon, frames.ErrType},
		"the other one":       {frame(frames.Stdin, "x"), frames.FromDaemon, frames.ErrType},
		"no type":             {"\x00\x00\x00\x00\x00", frames.ToDaemon, frames.ErrType},
		"HTTP":                {"GET / HTTP/1.1\r\n\r\n", frames.ToDaemon, frames.ErrType},
		"four gigabytes":      {"i\xff\xff\xff\xff", frames.ToDaemon, frames.ErrLength},
		"one byte too many":   {"i\x00\x01\x00\x01", frames.ToDaemon, frames.ErrLength},
		"a long resize":       {"r\x00\x02\x00\x01", frames.ToDaemon, frames.ErrLength},
		"a full stop":         {frame(frames.EOF, "x"), frames.ToDaemon, frames.ErrLength},
		"half a window":       {frame(frames.Window, "\x00\x01"), frames.FromDaemon, frames.ErrLength},
		"cut in the head":     {"i\x00\x00", frames.ToDaemon, io.ErrUnexpectedEOF},
		"cut in the payload":  {"i\x00\x00\x00\x05abc", frames.ToDaemon, io.ErrUnexpectedEOF},
		"cut at the payload":  {"i\x00\x00\x00\x05", frames.ToDaemon, io.ErrUnexpectedEOF},
		"the end":             {"", frames.ToDaemon, io.EOF},
		"the end after a key": {frame(frames.Stdin, "k"), frames.ToDaemon, io.EOF},
	} {
		r := frames.NewReader(strings.NewReader(c.wire), c.from)
		_, _, err := r.Next()
		if err == nil {
			_, _, err = r.Next()
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for _, text := range []string{"", "{", `{"rows":1}{}`, `{"rows":1,"secret":2}`, `{"rows":"1"}`, `[]`, `{"rows":1} x`} {
		var s frames.Size
		if err := frames.Decode([]byte(text), &s); err != frames.ErrControl {
			t.Errorf("%q: %v", text, err)
		}
	}
}

type broken struct{ n int }

func (b *broken) Write(p []byte) (int, error) {
	if b.n--; b.n < 0 {
		return len(p) / 2, io.ErrShortWrite
	}
	return len(p), nil
}

func TestNothingFollowsATornFrame(t *testing.T) {
	b := &broken{n: 1}
	w := frames.NewWriter(b)
	if err := w.Frame(frames.Stdin, []byte("ok")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Frame(frames.Stdin, []byte("torn")); err != io.ErrShortWrite {
			t.Fatal(err)
		}
	}
	if b.n != -1 {
		t.Errorf("%d writes after the torn one", -1-b.n)
	}
	if err := frames.NewWriter(io.Discard).Frame(frames.Stdin, make([]byte, frames.MaxData+1)); err != frames.ErrLength {
		t.Error(err)
	}
}

// The window: what is not taken is not sent, and who sends it all the same is cut off.
func TestTheWindowBoundsWhatWaits(t *testing.T) {
	c := frames.NewCredit()
	if n := c.Take(frames.MaxAhead + 5); n != frames.MaxAhead {
		t.Fatal(n)
	}
	got := make(chan int)
	go func() { got <- c.Take(10) }()
	if err := c.Give(4); err != nil {
		t.Fatal(err)
	}
	if n := <-got; n != 4 {
		t.Error(n)
	}
	if c.Give(frames.MaxAhead+1) != frames.ErrWindow || c.Give(-1) != frames.ErrWindow {
		t.Error("more was given back than was ever taken")
	}
	go func() { got <- c.Take(10) }()
	c.Close()
	if n := <-got; n != 0 {
		t.Error(n)
	}

	taken := 0
	in := frames.NewInbox(func(n int) error { taken += n; return nil })
	chunk := make([]byte, frames.MaxData)
	for range frames.MaxAhead / frames.MaxData {
		if err := in.Put(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if in.Put([]byte("x")) != frames.ErrWindow {
		t.Error("it holds more than the window")
	}
	if n, err := in.Read(make([]byte, 100)); n != 100 || err != nil || taken != 100 {
		t.Error(n, err, taken)
	}
	if err := in.Put(make([]byte, 100)); err != nil {
		t.Error(err)
	}
	in.End(nil)
	if in.Put([]byte("x")) != frames.ErrWindow {
		t.Error("it takes more after the end")
	}
	if b, err := io.ReadAll(in); err != nil || len(b) != frames.MaxAhead {
		t.Error(len(b), err)
	}
	in = frames.NewInbox(func(int) error { return nil })
	_ = in.Put([]byte("lost"))
	in.End(io.ErrClosedPipe)
	if _, err := in.Read(make([]byte, 4)); err != io.ErrClosedPipe {
		t.Error(err)
	}
}

func TestInboxKeepsOrderBetweenGoroutines(t *testing.T) {
	const total = 3 * frames.MaxAhead
	c := frames.NewCredit()
	in := frames.NewInbox(c.Give)
	var wg sync.WaitGroup
	wg.Go(func() {
		for at := 0; at < total; {
			n := c.Take(min(7919, total-at))
			b := make([]byte, n)
			for i := range b {
				b[i] = byte((at + i) % 251)
			}
			if err := in.Put(b); err != nil {
				t.Error(err)
				break
			}
			at += n
		}
		in.End(nil)
	})
	b, err := io.ReadAll(in)
	wg.Wait()
	if err != nil || len(b) != total {
		t.Fatal(len(b), err)
	}
	for i := range b {
		if b[i] != byte(i%251) {
			t.Fatalf("byte %d is %d", i, b[i])
		}
	}
}

// FuzzReader: no bytes make it fail in another way than by an error, allocate beyond the bounds, or read a frame that a Writer would not write again.
func FuzzReader(f *testing.F) {
	f.Add([]byte(frame(frames.Stdin, "hello")+frame(frames.EOF, "")), true)
	f.Add([]byte(frame(frames.Window, "\x00\x00\x00\x01")+frame(frames.Ended, `{"exit":1}`)), false)
	f.Add([]byte("i\xff\xff\xff\xff"), true)
	f.Fuzz(func(t *testing.T, wire []byte, daemon bool) {
		from := frames.FromDaemon
		if daemon {
			from = frames.ToDaemon
		}
		r := frames.NewReader(bytes.NewReader(wire), from)
		var again bytes.Buffer
		w := frames.NewWriter(&again)
		for {
			typ, payload, err := r.Next()
			if err != nil {
				break
			}
			if err := w.Frame(typ, payload); err != nil {
				t.Fatalf("%q of %d bytes was read and cannot be written: %v", typ, len(payload), err)
			}
			var s frames.Size
			_ = frames.Decode(payload, &s)
		}
		if !bytes.HasPrefix(wire, again.Bytes()) {
			t.Fatal("what was read is not what was there")
		}
	})
}
