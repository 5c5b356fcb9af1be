// Command child is the floor of a Go program that runs another: it starts it with pipes for its output, copies what comes, and waits.
//
// Promise: nothing else. No vault, no secrets, no redaction: what `zavhoz run` costs above this is what it adds.
// It stops no attack; it is never shipped.
package main

import (
	"io"
	"os"
	"os/exec"
	"sync"
)

func main() {
	c := exec.Command(os.Args[1], os.Args[2:]...)
	stdout, err := c.StdoutPipe()
	if err != nil {
		os.Exit(125)
	}
	stderr, err := c.StderrPipe()
	if err != nil {
		os.Exit(125)
	}
	if err := c.Start(); err != nil {
		os.Exit(127)
	}
	var copies sync.WaitGroup
	pass := func(to io.Writer, from io.Reader) {
		_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 64<<10))
	}
	copies.Go(func() { pass(os.Stdout, stdout) })
	copies.Go(func() { pass(os.Stderr, stderr) })
	copies.Wait()
	if err := c.Wait(); err != nil {
		os.Exit(1)
	}
}
