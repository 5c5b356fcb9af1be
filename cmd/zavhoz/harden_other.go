//go:build !linux

package main

// harden: other systems protect a process's memory from its own uid by other means (macOS: the hardened runtime of a signed program).
func harden() {}
