package main

import (
	"fmt"
	"strings"
	"testing"
)

// A model that gives a command line in one word is told what argv is; a program that is not there, what there is.
func TestACommandLineIsNoProgram(t *testing.T) {
	p, _ := withOpenAI(t)
	d := p.open()
	d.greet()
	for command, want := range map[string]bool{"ls -l /usr": true, "no_such_program": false} {
		var r toolResult
		decode(t, string(d.ask("tools/call", map[string]any{"name": "run_with_resource", "arguments": map[string]any{"resources": []string{"openai"}, "command": []string{command}}})), &r)
		text := fmt.Sprint(r.Content)
		if !r.IsError || !strings.Contains(text, "binary_missing") || strings.Contains(text, "one word an element") != want {
			t.Errorf("%s: %s", command, text)
		}
	}
}
