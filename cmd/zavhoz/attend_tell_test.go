package main

import (
	"bytes"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/cmd/zavhoz/internal/frames"
)

// What became of the changes is said once it has: nothing is called kept before the daemon has told the run's end, or where it could not keep it.
func TestChangesAreCalledKeptOnceTheyAre(t *testing.T) {
	for name, c := range map[string]struct {
		end  *frames.End // nil: the daemon goes away
		says string
		not  string
	}{
		"kept":               {&frames.End{}, "2 changes kept\n", "to be kept"},
		"it could not":       {&frames.End{Exit: 125, Code: "too_large", Message: "the disk is full"}, "2 changes were to be kept: zavhoz runs changes", "changes kept"},
		"the daemon is gone": {nil, "2 changes were to be kept", "changes kept"},
	} {
		t.Run(name, func(t *testing.T) {
			mine, theirs := net.Pipe()
			nothing, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			defer nothing.Close()
			var said bytes.Buffer
			ended := make(chan error, 1)
			go func() {
				ended <- (&app{stdin: nothing, stdout: io.Discard, stderr: &said}).attend(mine, true, false)
			}()
			out, in := frames.NewWriter(theirs), frames.NewReader(theirs, frames.ToDaemon)
			if err := out.Control(frames.Changes, frames.Changed{Total: 2}); err != nil {
				t.Fatal(err)
			}
			var reply frames.Reply
			if kind, payload, err := in.Next(); err != nil || kind != frames.Answer || frames.Decode(payload, &reply) != nil || !reply.Keep {
				t.Fatalf("%v %+v %v", kind, reply, err)
			}
			if said.Len() > 0 { // the other side waits for the next frame now
				t.Errorf("said before it was so: %s", &said)
			}
			if c.end != nil {
				if err := out.Control(frames.Ended, c.end); err != nil {
					t.Fatal(err)
				}
			}
			theirs.Close()
			<-ended
			if text := said.String(); !strings.Contains(text, c.says) || strings.Contains(text, c.not) {
				t.Errorf("%s", text)
			}
		})
	}
}
