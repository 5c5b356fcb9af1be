package sandbox_test

import (
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/policy"
)

func TestZZStress(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("ZZ_SECONDS"))
	if n == 0 {
		n = 30
	}
	both(t, func(t *testing.T) {
		s := newSandbox(t, sandbox.Options{})
		t.Log(s.Level())
		end := time.Now().Add(time.Duration(n) * time.Second)
		var wg sync.WaitGroup
		var rounds, slow atomic.Int64
		wg.Go(func() {
			for time.Now().Before(end) {
				_ = exec.Command("/bin/true").Run()
			}
		})
		for i := range 12 {
			level := []policy.Level{policy.LevelBasic, policy.LevelSealed}[i%2]
			wg.Go(func() {
				for time.Now().Before(end) {
					rounds.Add(1)
					b, err := s.Open(t.Context(), sandbox.BoxOptions{Level: level})
					if err != nil {
						t.Error(err)
						return
					}
					scripts := []string{"true", "echo hi; (setsid sleep 1000 &) ; exit 3", "sleep 0.01; cat", "kill -9 $$", "exec /nonexistent", "head -c 300000 /dev/zero", "sleep 1000"}
					argv := []string{"sh", "-c", scripts[rand.IntN(len(scripts))]}
					if rand.IntN(10) == 0 {
						argv = []string{"/etc/passwd"}
					}
					ctx, cancel := context.WithCancel(context.Background())
					if rand.IntN(10) == 0 {
						time.AfterFunc(time.Duration(rand.IntN(10000))*time.Microsecond, cancel)
					}
					p, err := b.Start(ctx, sandbox.Spec{Argv: argv, Env: environment(b), Stdout: io.Discard, Stderr: io.Discard, Input: make([]byte, rand.IntN(2)*100000), Grace: time.Duration(rand.IntN(20)+1) * time.Millisecond, WaitDelay: 50 * time.Millisecond,
						Listen: []sandbox.Listen{{Name: "a", Addr: "127.0.0.1:3128"}}})
					cancel2 := func() {}
					if err == nil {
						d := time.Duration(rand.IntN(20000)) * time.Microsecond
						tm := time.AfterFunc(d, []func(){p.Stop, p.Kill, func() { b.Close() }}[rand.IntN(3)])
						cancel2 = func() { tm.Stop() }
						if rand.IntN(5) > 0 {
							_ = p.Run()
						}
						w := time.Now()
						p.Wait()
						if time.Since(w) > 5*time.Second {
							slow.Add(1)
							t.Log("slow", level, argv, time.Since(w))
						}
					}
					cancel2()
					cancel()
					if err := b.Close(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		t.Log("rounds", rounds.Load(), "slow", slow.Load())
	})
}
