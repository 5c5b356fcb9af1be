// Command answer is the floor of a daemon's start: a bare net/http server on a unix socket that says ok to everything.
//
// Promise: nothing else. What `zavhoz serve` takes longer to its first answer is what unlocking and checking the vault costs, and its libraries.
// It stops no attack; it is never shipped.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

func main() {
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "answer:", err)
		os.Exit(1)
	}
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }))
}
