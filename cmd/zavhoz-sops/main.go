// Command zavhoz-sops reads and writes SOPS files for the daemon, which starts it beside itself and talks to it over a pipe (vault/sops/wire).
//
// Promise: it gets what it needs by the pipe alone: nothing secret in its arguments or environment, no file opened or written, no connection made, no
// identity ever. Where the system can (Linux), it takes from itself the means for all of these before it reads the first byte. It says why it
// refuses by a number, so no library's text carries a value out.
//
// Attacks stopped: 190 cloud packages in the process that holds the vault's keys (they come with getsops/sops, and only here); its memory read by the
// agent's own uid (threat-model.md 21), core files (24), an input that exhausts (67), plaintext on a disk (66).
//
// What it does not do: SOPS's own package opens an audit database where /etc/sops/audit.yaml, which root writes, names one; after the walls are up
// that fails, and so does the work. A person has no use for this program: it ends at once when its input is a terminal.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// buildVersion is set by the linker.
var buildVersion = "unknown"

func main() {
	if len(os.Args) > 1 || isTerminal(os.Stdin) {
		if len(os.Args) == 2 && os.Args[1] == "--version" {
			fmt.Println("zavhoz-sops", buildVersion, "protocol", wire.Version)
			return
		}
		fmt.Fprintln(os.Stderr, "zavhoz-sops is a part of zavhoz, which starts it for SOPS files: see `zavhoz help import`")
		os.Exit(2)
	}
	harden()
	if serve(os.Stdin, os.Stdout) != nil {
		os.Exit(1)
	}
}

func isTerminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && st.Mode()&os.ModeDevice != 0
}

// serve answers requests in order until the input ends.
func serve(r io.Reader, w io.Writer) error {
	if err := wire.Write(w, wire.Frame{Op: wire.OpHello, Body: wire.Hello{Version: wire.Version}.Encode()}); err != nil {
		return err
	}
	in := bufio.NewReaderSize(r, 64<<10)
	s := &session{}
	for {
		f, err := wire.Read(in)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		reply := s.answer(f)
		f.Wipe()
		err = wire.Write(w, reply)
		reply.Wipe()
		if err != nil {
			return err
		}
	}
}
