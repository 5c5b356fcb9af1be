//go:build !linux

package connect

import (
	"net"
	"os"
)

// Broker exists on Linux only.
type Broker struct{ done chan struct{} }

// New refuses.
func New(*os.File, Options) (*Broker, error) { return nil, ErrUnsupported }

// Listener gives nil: there is no broker.
func (b *Broker) Listener(string) net.Listener { return nil }

// Done never closes: there is no broker.
func (b *Broker) Done() <-chan struct{} { return b.done }

// Close does nothing.
func (b *Broker) Close() error { return nil }
