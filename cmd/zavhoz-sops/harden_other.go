//go:build !linux

package main

import "runtime/debug"

// harden: these systems offer no such walls to a process of its own accord; the daemon's bounds and its kill remain.
func harden() { debug.SetMemoryLimit(3 << 29) }
