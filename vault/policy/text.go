package policy

import "strings"

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

// limitWider compares numbers in which zero means no limit.
func limitWider[N int | uint64](a, b N) bool { return a != b && a != 0 && (b == 0 || b > a) }
