package sandbox_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/policy"
)

func TestFirst(t *testing.T) {
	s, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := s.Open(context.Background(), sandbox.BoxOptions{Level: policy.LevelSealed})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p, err := b.Start(context.Background(), sandbox.Spec{Argv: []string{"sh", "-c", "id; ls -la / /dev ~; ps ax; mount; cat /proc/self/status | grep -i -E 'cap|secc|nonew'"}, Env: []string{"PATH=/usr/bin:/bin", "HOME=/home/agent"}, Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(); err != nil {
		t.Error(err)
	}
	t.Log(p.Wait(), out.String())
}
