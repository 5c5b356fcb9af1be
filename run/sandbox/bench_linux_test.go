package sandbox_test

import (
	"context"
	"os/exec"
	"testing"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// The goal: BenchmarkSealedTrue ≤ 7 × BenchmarkPlainTrue, in one run.

func BenchmarkPlainTrue(b *testing.B) {
	for b.Loop() {
		if err := exec.Command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
	}
}

func benchTrue(b *testing.B, level policy.Level) {
	s, err := sandbox.New(sandbox.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	s.Level() // the probe is no part of a run
	for b.Loop() {
		box, err := s.Open(context.Background(), sandbox.BoxOptions{Level: level})
		if err != nil {
			b.Fatal(err)
		}
		p, err := box.Start(context.Background(), sandbox.Spec{Argv: []string{"/bin/true"}, Env: []string{"PATH=/usr/bin:/bin"}})
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Run(); err != nil {
			b.Fatal(err)
		}
		if exit := p.Wait(); exit.Code != 0 {
			b.Fatal(exit)
		}
		if err := box.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSealedTrue(b *testing.B) { benchTrue(b, policy.LevelSealed) }
