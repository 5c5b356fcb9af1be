package lazyregexp

import (
	"slices"
	"sync"
	"testing"
)

func TestSameAsCompiled(t *testing.T) {
	r := New(`^([a-z]+)-([0-9]+)$`)
	if !r.MatchString("ab-12") || r.Match([]byte("ab12")) || !slices.Equal(r.FindStringSubmatch("ab-12"), []string{"ab-12", "ab", "12"}) || r.ReplaceAllString("ab-12", "$2") != "12" {
		t.Error("it does not do what the expression says")
	}
}

func TestBadExpressionFailsInTests(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a bad expression was declared in a test and nobody noticed")
		}
	}()
	New(`(`)
}

func TestFirstUseByMany(t *testing.T) {
	r := &Regexp{text: `^a+$`}
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if !r.MatchString("aaa") {
				t.Error("no match")
			}
		})
	}
	wg.Wait()
}
