package main

import (
	"slices"
	"time"
)

// turns measures several things in turns, so that whatever else the machine does falls on all of them alike. The first round warms up and does not
// count. It gives each one's median.
func turns(rounds int, each ...func() (float64, error)) ([]float64, error) {
	got, err := samples(rounds, each...)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(each))
	for i := range got {
		out[i] = got[i].at(50)
	}
	return out, nil
}

// measured is what was measured of one thing, time after time; in order once all of it is.
type measured []float64

// at gives the value that so many hundredths of them are below.
func (s measured) at(percent int) float64 { return s[len(s)*percent/100] }

// samples is turns that gives all that was measured.
func samples(rounds int, each ...func() (float64, error)) ([]measured, error) {
	got := make([]measured, len(each))
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
	for _, s := range got {
		slices.Sort(s)
	}
	return got, nil
}

// micros measures how many microseconds one call takes.
func micros(fn func() error) func() (float64, error) {
	return func() (float64, error) {
		start := time.Now()
		err := fn()
		return float64(time.Since(start).Nanoseconds()) / 1e3, err
	}
}
