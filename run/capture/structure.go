package capture

import (
	"regexp/syntax"
	"strings"
)

// A pattern says where a value stands, and asks nothing about what it is: literal text before, one group that takes a whole token whatever is in it, literal text
// behind. A pattern that could tell one value from another would be an oracle: a hit or a miss is an answer, and a few hundred answers are a value
// (threat-model.md 60).

// maxLeast is how many characters a group may ask for at least.
const maxLeast = 8

// structural tells whether a parsed pattern is of that form.
func structural(re *syntax.Regexp) bool {
	parts := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		parts = re.Sub
	}
	groups := 0
	for _, p := range parts {
		switch p.Op {
		case syntax.OpLiteral:
			if p.Flags&syntax.FoldCase != 0 {
				return false
			}
		case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText:
		case syntax.OpCapture:
			if groups++; !wholeToken(p.Sub[0]) {
				return false
			}
		default:
			return false
		}
	}
	return groups == 1
}

// wholeToken tells whether a group is one greedy repetition of any character that a token may have.
func wholeToken(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpPlus, syntax.OpStar:
	case syntax.OpRepeat:
		if re.Max != -1 || re.Min > maxLeast {
			return false
		}
	default:
		return false
	}
	if re.Flags&syntax.NonGreedy != 0 {
		return false
	}
	switch c := re.Sub[0]; c.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return true
	case syntax.OpCharClass:
		for _, r := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
			if !inClass(c.Rune, r) {
				return false
			}
		}
		return true
	}
	return false
}

// inClass looks into pairs of first and last.
func inClass(pairs []rune, r rune) bool {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] <= r && r <= pairs[i+1] {
			return true
		}
	}
	return false
}

// border tells whether no token goes on over the place at: text[at-1] and text[at] are not both of one.
func border(text []byte, at int) bool {
	return at <= 0 || at >= len(text) || !ofToken(text[at-1]) || !ofToken(text[at])
}

// ofToken tells whether a byte can be of a value. What stands between a name and its value is none.
func ofToken(c byte) bool { return c > ' ' && strings.IndexByte("\"'`=:,;<>(){}[]|", c) < 0 }

// whole tells whether a match takes whole tokens only: the literal text before the group must not be the head or tail of a value, and the group no piece of one.
func whole(text []byte, m []int) bool {
	return border(text, m[0]) && border(text, m[2]) && border(text, m[3]) && border(text, m[1])
}
