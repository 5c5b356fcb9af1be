//go:build unix

package main

// console is the terminal that controls this process, whatever its standard streams are.
const console = "/dev/tty"
