package main

import (
	"context"
	"net"
	"os"
	"sync"
	"time"
)

// lookEvery is how often a daemon looks whether its sockets are where it put them.
const lookEvery = time.Second

// steady is a unix socket's listener that listens anew where its file is gone or another's: a cleaner of temporary folders, or a hand that slipped, would else leave a
// daemon that holds the vault and that nobody reaches. Who put another socket there in the meantime is put out.
type steady struct {
	path   string
	listen func() (net.Listener, error)
	conns  chan net.Conn
	ended  context.Context
	end    context.CancelFunc
	tasks  sync.WaitGroup

	mu  sync.Mutex
	cur net.Listener
	at  os.FileInfo // the socket's file
}

func newSteady(path string, listen func() (net.Listener, error), every time.Duration) (*steady, error) {
	s := &steady{path: path, listen: listen, conns: make(chan net.Conn)}
	s.ended, s.end = context.WithCancel(context.Background())
	if err := s.renew(); err != nil {
		s.end()
		return nil, err
	}
	s.tasks.Go(func() { s.watch(every) })
	return s, nil
}

// renew listens at the path, and no longer where the old socket is.
func (s *steady) renew() error {
	l, err := s.listen()
	if err != nil {
		return err
	}
	at, err := os.Lstat(s.path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || s.ended.Err() != nil {
		l.Close()
		return errNoSocket.Because(err)
	}
	if s.cur != nil {
		s.cur.Close()
	}
	s.cur, s.at = l, at
	s.tasks.Go(func() { s.accept(l) })
	return nil
}

func (s *steady) watch(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-s.ended.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		was := s.at
		s.mu.Unlock()
		if at, err := os.Lstat(s.path); err != nil || !os.SameFile(at, was) {
			_ = s.renew() // where it fails, the next look tries again
		}
	}
}

// accept hands on what comes to l, until l is closed.
func (s *steady) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			select {
			case s.conns <- c:
			case <-s.ended.Done():
				c.Close()
				return
			}
		case s.ended.Err() != nil || !s.current(l):
			return
		default:
			time.Sleep(10 * time.Millisecond) // out of descriptors: do not spin
		}
	}
}

func (s *steady) current(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cur == l
}

// Accept waits for the next connection, at whichever socket.
func (s *steady) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.ended.Done():
		return nil, net.ErrClosed
	}
}

// Close ends it and waits for what it does.
func (s *steady) Close() error {
	s.end()
	s.mu.Lock()
	err := s.cur.Close()
	s.mu.Unlock()
	s.tasks.Wait()
	return err
}

// Addr is the socket's.
func (s *steady) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cur.Addr()
}

// socket listens at one of the home's sockets for as long as the daemon lives.
func (d *daemon) socket(path string) (net.Listener, error) {
	return newSteady(path, func() (net.Listener, error) {
		if err := d.dir.EnsureRun(); err != nil {
			return nil, err
		}
		return listenUnix(path, 0o600, -1)
	}, lookEvery)
}
