package main

import (
	"bytes"
	"testing"
)

// Progress goes away before a question and does not come over it; after the answer it is back.
func TestProgressLeavesQuestionsAlone(t *testing.T) {
	var l line
	var screen bytes.Buffer
	l.progress(&screen, "Exporting… 1s")
	done := l.ask(&screen)
	screen.WriteString("Operator passphrase: ")
	l.progress(&screen, "Exporting… 2s")
	l.wipe(&screen)
	if want := "\rExporting… 1s\x1b[K\r\x1b[KOperator passphrase: "; screen.String() != want {
		t.Fatalf("%q, not %q", &screen, want)
	}
	done()
	done()
	screen.Reset()
	l.progress(&screen, "Exporting… 3s")
	l.wipe(&screen)
	l.wipe(&screen)
	if want := "\rExporting… 3s\x1b[K\r\x1b[K"; screen.String() != want {
		t.Errorf("%q, not %q", &screen, want)
	}
}
