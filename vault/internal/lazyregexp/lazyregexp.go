// Package lazyregexp gives regular expressions that are compiled at their first use.
//
// Promise: a package may declare as many expressions as it needs and costs nothing at the program's start. The command line starts for every
// `zavhoz run`, where compiling what that command never looks at took longer than the command (docs/performance.md, goal 2).
//
// What a late compile could hide, it does not: in a test binary every expression is compiled where it is declared, so that a bad one fails at once.
package lazyregexp

import (
	"os"
	"regexp"
	"strings"
	"sync"
)

// Regexp is a regular expression, compiled once. It may be used by many goroutines.
type Regexp struct {
	text string
	once sync.Once
	re   *regexp.Regexp
}

// New declares an expression. A bad one panics at its first use; in a test binary, here.
func New(text string) *Regexp {
	r := &Regexp{text: text}
	if testBinary {
		r.compiled()
	}
	return r
}

// testBinary: the go command names them so.
var testBinary = len(os.Args) > 0 && strings.HasSuffix(strings.TrimSuffix(os.Args[0], ".exe"), ".test")

func (r *Regexp) compiled() *regexp.Regexp {
	r.once.Do(func() { r.re = regexp.MustCompile(r.text) })
	return r.re
}

// Match is regexp.Match.
func (r *Regexp) Match(b []byte) bool { return r.compiled().Match(b) }

// MatchString is regexp.MatchString.
func (r *Regexp) MatchString(s string) bool { return r.compiled().MatchString(s) }

// FindStringSubmatch is regexp.FindStringSubmatch.
func (r *Regexp) FindStringSubmatch(s string) []string { return r.compiled().FindStringSubmatch(s) }

// ReplaceAllString is regexp.ReplaceAllString.
func (r *Regexp) ReplaceAllString(s, with string) string {
	return r.compiled().ReplaceAllString(s, with)
}
