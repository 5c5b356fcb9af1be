//go:build !linux && !darwin

package sandbox

import (
	"context"
	"net"
	"os"

	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// Sandbox refuses: this system offers no confinement.
type Sandbox struct{}

// Box is never made here.
type Box struct{}

// Process is never made here.
type Process struct{}

type composer struct{}

var errNone = fault.New(fault.IsolationMissing, "this system offers no confinement", "run the daemon on Linux, or on macOS for the level proxied")

func newSandbox(Options) (*Sandbox, error) { return &Sandbox{}, nil }

// Main does nothing: there is no launcher here.
func Main() {}

// Probe finds nothing.
func (s *Sandbox) Probe(context.Context) Report {
	return Report{Level: policy.LevelOpen, Features: []Feature{{Name: "system", Lost: "commands with resources are not confined, and refused", Fix: "run the daemon on Linux"}}}
}

func (s *Sandbox) open(BoxOptions, policy.Level) (*Box, error) { return nil, errNone }

// Close does nothing.
func (s *Sandbox) Close() error { return nil }

// Level is open.
func (b *Box) Level() policy.Level { return policy.LevelOpen }

// Home is nowhere.
func (b *Box) Home() string { return "" }

// Temp is nowhere.
func (b *Box) Temp() string { return "" }

// Environment is empty.
func (b *Box) Environment() []string { return nil }

// Named is false.
func (b *Box) Named() bool { return false }

// Start refuses.
func (b *Box) Start(context.Context, Spec) (*Process, error) { return nil, errNone }

// Changes refuses.
func (b *Box) Changes() ([]Change, error) { return nil, errNone }

// Keep refuses.
func (b *Box) Keep() error { return errNone }

// Close does nothing.
func (b *Box) Close() error { return nil }

// Listener gives none.
func (p *Process) Listener(string) net.Listener { return nil }

// Run refuses.
func (p *Process) Run() error { return errNone }

// Done never closes.
func (p *Process) Done() <-chan struct{} { return nil }

// Cut is nil.
func (p *Process) Cut() error { return nil }

// Wait gives nothing.
func (p *Process) Wait() process.Exit { return process.Exit{Code: -1} }

// Stop does nothing.
func (p *Process) Stop() {}

// Kill does nothing.
func (p *Process) Kill() {}

// Terminal gives none.
func (p *Process) Terminal() (*os.File, func(rows, cols int)) { return nil, nil }
