package record

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// What holds a reference must never be kept as it was put: its owner could change it under every reader.
func TestOnlyWhatSharesNothingIsPlain(t *testing.T) {
	type inner struct {
		N    int
		Text string
		At   time.Time
		Sum  [32]byte
	}
	for _, x := range []struct {
		v    any
		want bool
	}{
		{inner{}, true}, {struct{ A inner }{}, true}, {"", true}, {uint64(1), true}, {[2]inner{}, true},
		{struct{ M map[string]string }{}, false}, {struct{ S []string }{}, false}, {struct{ P *int }{}, false}, {struct{ I any }{}, false},
		{struct{ F func() }{}, false}, {json.RawMessage(nil), false}, {struct{ A [1][]byte }{}, false}, {make(chan int), false},
	} {
		if got := plain(reflect.TypeOf(x.v)); got != x.want {
			t.Errorf("%T: %v", x.v, got)
		}
	}
}
