package seccomp

import "testing"

// Every start of a run writes the program once.
func BenchmarkProgram(b *testing.B) {
	for b.Loop() {
		if _, err := Program("amd64", Options{true, true, true}); err != nil {
			b.Fatal(err)
		}
	}
}
