package redact

import "io"

// ForeignOptions of a ForeignStream.
type ForeignOptions struct {
	// Exempt are values that look like secrets on purpose: the placeholders of the run. Only a finding that is one of them, whole and exactly, passes.
	Exempt []string
}

// ForeignStream masks what looks like somebody's secret though no Set knows it.
type ForeignStream struct {
	dst io.Writer
}

// Foreign masks into dst.
func Foreign(dst io.Writer, o ForeignOptions) *ForeignStream { return &ForeignStream{dst: dst} }

// Write takes the next bytes of the text.
func (s *ForeignStream) Write(p []byte) (int, error) { return s.dst.Write(p) }

// Close lets go what was held back.
func (s *ForeignStream) Close() error { return nil }

// Report says what was masked so far, by sort ("looks-like-a-github-token").
func (s *ForeignStream) Report() Report { return Report{} }
