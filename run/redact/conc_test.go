package redact

import (
	"bytes"
	"sync"
	"testing"
)

// TestOneMatcherManyStreams is for the race detector.
func TestOneMatcherManyStreams(t *testing.T) {
	set := mustSet(t, Options{}, benchValues(50)...)
	text := append(makeLog(200<<10), benchValues(50)[7]...)
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			var out bytes.Buffer
			s := set.Stream(&out)
			for i := 0; i < len(text); i += 1000 {
				_, _ = s.Write(text[i:min(i+1000, len(text))])
			}
			if err := s.Close(); err != nil || s.Report().Redactions != 1 || bytes.Contains(out.Bytes(), []byte(benchValues(50)[7])) {
				t.Errorf("%v %+v", err, s.Report())
			}
		})
	}
	work.Wait()
}
