package rekey_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault/secret"

	"github.com/zavhoz/zavhoz/vault"
)

// BenchmarkRotation replaces the data key of a vault with ROTATE_SECRETS secrets (default 2,000) and tells how many records a second are sealed anew, while one
// writer changes values: how long the longest of its writes took is told as well.
func BenchmarkRotation(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("ROTATE_SECRETS"))
	if err != nil {
		n = 2000
	}
	h := newHouse(b)
	h.rows = 0 // the default
	h.restart()
	next, done := make(chan int), make(chan struct{}, n)
	for range 64 {
		go func() {
			for i := range next {
				_, err := h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: fmt.Sprintf("s%d", i), Secrets: map[string]secret.Secret{"value": secret.FromString(fmt.Sprintf("value of %d, as long as a key is", i))}})
				if err != nil {
					b.Error(err)
				}
				done <- struct{}{}
			}
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	for range n {
		<-done
	}
	defer h.runs()()
	var longest time.Duration
	var records uint64
	b.ResetTimer()
	for range b.N {
		p, err := h.Rotate(ctx, operator, nil)
		must(b, err)
		records += p.Total
		for i := 0; p.Running; i++ {
			at := time.Now()
			h.edit(fmt.Sprintf("s%d", i%n), fmt.Sprint("changed ", i))
			longest = max(longest, time.Since(at))
			p, err = h.Progress(ctx)
			must(b, err)
		}
	}
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(longest.Seconds()*1000, "ms/longest-write")
}
