package main

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// slice is how long one turn of a rate lasts.
const slice = 400 * time.Millisecond

// rate gives how many calls a second the callers make together. Each call gets a number of its own.
func rate(callers int, call func(i int) error) (float64, error) {
	perSecond, _, err := crowd(callers, call)
	return perSecond, err
}

// crowd is rate that gives how long each call took as well, in microseconds.
func crowd(callers int, call func(i int) error) (perSecond float64, took measured, err error) {
	var wg sync.WaitGroup
	var calls atomic.Int64
	errs, times := make([]error, callers), make([]measured, callers)
	start := time.Now()
	for k := range callers {
		wg.Go(func() {
			for at := start; at.Sub(start) < slice && errs[k] == nil; {
				errs[k] = call(int(calls.Add(1)))
				now := time.Now()
				times[k], at = append(times[k], float64(now.Sub(at).Nanoseconds())/1e3), now
			}
		})
	}
	wg.Wait()
	perSecond = float64(calls.Load()) / time.Since(start).Seconds()
	for _, t := range times {
		took = append(took, t...)
	}
	return perSecond, took, errors.Join(errs...)
}
