package policy

import (
	"fmt"
	"strings"
)

// list joins names; none is what an empty list stands for.
func list[T ~string](s []T, none string) string {
	words := make([]string, len(s))
	for i, x := range s {
		words[i] = string(x)
	}
	return either(strings.Join(words, ", "), none)
}

func either(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// limit reads a number in which zero means none.
func limit[N int | uint64](n N) string {
	if n == 0 {
		return "no limit"
	}
	return fmt.Sprint(n)
}

// limitWider compares such numbers.
func limitWider[N int | uint64](a, b N) bool { return a != b && a != 0 && (b == 0 || b > a) }
