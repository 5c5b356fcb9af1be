package main

import (
	"slices"
	"time"
)

// turns measures several things in turns, so that whatever else the machine does falls on all of them alike. The first round warms up and does not
// count. It gives each one's median.
func turns(rounds int, each ...func() (float64, error)) ([]float64, error) {
	got := make([][]float64, len(each))
	for round := range rounds + 1 {
		for i, fn := range each {
			x, err := fn()
			if err != nil {
				return nil, err
			}
			if round > 0 {
				got[i] = append(got[i], x)
			}
		}
	}
	out := make([]float64, len(each))
	for i := range got {
		out[i] = median(got[i])
	}
	return out, nil
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// micros measures how many microseconds one call takes.
func micros(fn func() error) func() (float64, error) {
	return func() (float64, error) {
		start := time.Now()
		err := fn()
		return float64(time.Since(start).Nanoseconds()) / 1e3, err
	}
}
