//go:build unix

package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// Size of TestKilledAmidRotation.
var (
	rotateSecrets = 300
	rotateKills   = atLength(6, 20)
)

// TestKilledAmidRotation kills the daemon at random moments while its data key is replaced again and again, slots come and go, and a writer changes values. What
// was acknowledged is there with its right value, a rotation that was acknowledged ends by itself, and the chain of the audit log holds.
func TestKilledAmidRotation(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	p.configure("idle_exit_s: 900", "idle_exit_s: 0")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	book := &ledger{values: map[string]int{}, begun: map[string]int{}}
	p.fill(book)
	end := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { p.changes(book, end) })
	rotated := 0
	for kill := range rotateKills {
		var r api.Rotation
		switch err := p.client().call(t.Context(), "POST", path("keys", "rotate"), map[string]any{}, &r); fault.CodeOf(err) {
		case "":
			rotated++
		case fault.ResourceBusy: // the one that the last daemon left goes on
		default:
			t.Fatal(err)
		}
		p.addAndDie(fmt.Sprint("guest ", kill), time.Duration(rng.IntN(60))*time.Millisecond)
		if k := p.keys(); r.To != "" && k.Key != r.To {
			t.Fatalf("the rotation to %s was acknowledged, and %s seals", r.To, k.Key)
		}
		p.holds(book, false)
	}
	close(end)
	work.Wait()
	if rotated < 2 {
		t.Fatalf("%d rotations", rotated)
	}
	until(t, "the last rotation ends by itself", func() bool { return p.keys().Rotation == nil })
	p.stop()
	p.holds(book, true)
	p.ok("key", "check", p.dir.Identity())
}

// fill adds what the rotations have to seal anew.
func (p *place) fill(book *ledger) {
	cl := p.client()
	for i := range rotateSecrets {
		handle := fmt.Sprintf("k%d", i)
		in := map[string]any{"kind": "generic", "handle": handle, "secrets": map[string]string{"value": valueOf(handle, 1)}}
		book.sends(handle, 1)
		if err := cl.call(p.t.Context(), "POST", path("resources"), in, nil); err != nil {
			p.t.Fatal(err)
		}
		book.acknowledged(handle, 1)
	}
}

// addAndDie adds a slot while the daemon is killed, and takes it away again: it is there where it was acknowledged, and whole or not at all where it was not.
func (p *place) addAndDie(label string, after time.Duration) {
	p.t.Helper()
	guest, err := age.GenerateX25519Identity()
	if err != nil {
		p.t.Fatal(err)
	}
	text := guest.Recipient().String()
	pid := p.status().PID
	adding := make(chan error, 1)
	go func() {
		adding <- p.client().call(p.t.Context(), "POST", path("keys"), map[string]any{"recipient": text, "label": label}, nil)
	}()
	time.Sleep(after)
	p.kill(pid)
	added := <-adding
	there := slices.ContainsFunc(p.keys().Slots, func(s api.Slot) bool { return s.Recipient == text })
	if added == nil && !there {
		p.t.Fatal("a slot was acknowledged and is lost")
	}
	if there {
		file := p.write("guest.txt", guest.String()+"\n")
		p.ok("key", "check", file)
		p.ok("key", "remove", text, "--yes")
		if out := p.run("", "key", "check", file); out.code == 0 {
			p.t.Fatal("a slot that was removed opens the vault")
		}
	}
}

func (p *place) keys() (k api.Keys) {
	p.t.Helper()
	if err := p.client().call(p.t.Context(), "GET", path("keys"), nil, &k); err != nil {
		p.t.Fatal(err)
	}
	return k
}

// changes edits values until end, and insists on each.
func (p *place) changes(book *ledger, end <-chan struct{}) {
	cl := p.client()
	for n := 2; ; n++ {
		for i := 0; i < rotateSecrets; i += 37 {
			select {
			case <-end:
				return
			default:
			}
			handle := fmt.Sprintf("k%d", i)
			book.sends(handle, n)
			edit := map[string]any{"secrets": map[string]string{"value": valueOf(handle, n)}}
			if !p.insist(p.t.Context(), func() error { return cl.call(p.t.Context(), "PATCH", path("resources", handle), edit, nil) }, "") {
				return
			}
			book.acknowledged(handle, n)
		}
	}
}
