//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
)

// probes are questions of single platforms.
var probes = map[string]func(next func() string) string{}

// probe is what scripts run under `zavhoz run`: it tells of its surroundings, one question an argument.
func probe() {
	for i := 1; i < len(os.Args); i++ {
		next := func() string { i++; return os.Args[i] }
		switch os.Args[i] {
		case "env":
			v, ok := os.LookupEnv(next())
			fmt.Println(ok, v)
		case "len":
			fmt.Println(len(os.Getenv(next())))
		case "stdin":
			b, _ := io.ReadAll(os.Stdin)
			fmt.Printf("%s\n", b)
		case "err":
			fmt.Fprintln(os.Stderr, os.Getenv(next()))
		case "exit":
			n, _ := strconv.Atoi(next())
			os.Exit(n)
		default:
			if ask := probes[os.Args[i]]; ask != nil {
				fmt.Println(ask(next))
			}
		}
	}
	os.Exit(0)
}
