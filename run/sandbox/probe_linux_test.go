package sandbox_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/zavhoz/zavhoz/run/sandbox"
)

func TestProbe(t *testing.T) {
	s, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, _ := json.MarshalIndent(s.Probe(context.Background()), "", " ")
	t.Logf("%s", b)
}
