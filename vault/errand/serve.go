package errand

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Run answers what is asked of this daemon until ctx ends, and waits for what is under way.
func (d *Desk) Run(ctx context.Context) {
	defer d.wait.Wait()
	notices := d.o.Store.Watch(ctx)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	swept := time.Now()
	for {
		select {
		case n, open := <-notices:
			if !open {
				return
			}
			if n.Collection != Questions {
				continue
			}
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		d.take(ctx)
		if time.Since(swept) > time.Minute {
			swept = time.Now()
			d.forget(swept)
			if d.o.Leads() {
				d.sweep(ctx)
			}
		}
	}
}

// take begins what is asked of this daemon. A vault that is locked, or does not answer, is asked again at the next notice or tick.
func (d *Desk) take(ctx context.Context) {
	to := []string{d.o.Self}
	if d.o.Leads() {
		to = append(to, Leader)
	}
	var all []question
	err := d.view(ctx, func(tx store.Tx) error {
		all = nil
		for _, name := range to {
			err := d.questions.Scan(tx, name+"/", "", func(_ string, q question) (bool, error) {
				all = append(all, q)
				return len(all) < slots, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = d.o.Trust()
	}
	if err != nil {
		if code := fault.CodeOf(err); code != fault.VaultLocked && code != fault.DaemonUnavailable && ctx.Err() == nil {
			d.o.Log.Error("what other daemons ask cannot be read", "code", string(code), "cause", fault.Cause(err))
		}
		return
	}
	for _, q := range all {
		d.mu.Lock()
		_, taken := d.taken[q.ID]
		_, done := d.done[q.ID]
		free := !q.Taken && !taken && !done && len(d.taken) < slots
		if free {
			d.taken[q.ID] = struct{}{}
		}
		d.mu.Unlock()
		if free {
			d.wait.Go(func() { d.answer(ctx, q) })
		}
	}
}

// answer does what a question asks for.
func (d *Desk) answer(ctx context.Context, q question) {
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.taken, q.ID)
		d.done[q.ID] = time.Now()
	}()
	limit, cancel := context.WithTimeout(ctx, max(q.wait(), time.Second))
	defer cancel()
	if claimed, err := d.claim(limit, q); !claimed || err != nil {
		return
	}
	var o outcome
	value, err := d.carryOut(limit, q)
	if err == nil {
		o.Value, err = json.Marshal(value)
	}
	if err == nil {
		err = d.put(limit, q, o)
	}
	if err != nil { // also where the answer is too long to be sealed
		f := fault.Of(err)
		err = d.put(limit, q, outcome{Code: f.Code, Message: f.Message, Next: f.Next})
	}
	if err != nil {
		d.o.Log.Warn("a question of another daemon could not be answered", "what", q.What, "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
	}
}

// put puts an answer into its question's place, if that is still there: else nobody waits.
func (d *Desk) put(ctx context.Context, q question, o outcome) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return d.update(context.WithoutCancel(ctx), func(tx store.Tx) error {
		_, err := d.questions.Get(tx, q.key())
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		a := answer{Format: 1, ID: q.ID, At: d.o.Clock().UTC()}
		if a.Body, err = d.seal("answer", q.ID, slices.Clone(body)); err != nil {
			return err
		}
		return errors.Join(d.questions.Delete(tx, q.key()), d.answers.Put(tx, a.ID, a))
	})
}

// claim marks the question as taken before it is carried out: a daemon that dies over it leaves no answer, and nobody carries it out twice. One that its asker does not wait for any more
// is none.
func (d *Desk) claim(ctx context.Context, q question) (claimed bool, err error) {
	old := d.o.Clock().Sub(q.At) > q.wait()+skew
	err = d.update(ctx, func(tx store.Tx) error {
		now, err := d.questions.Get(tx, q.key())
		claimed = err == nil && !now.Taken && !old
		switch {
		case errors.Is(err, store.ErrNotFound): // taken back, or somebody else's who led before
			return nil
		case err != nil || now.Taken:
			return err
		case old:
			return d.questions.Delete(tx, q.key())
		}
		now.Taken = true
		return d.questions.Put(tx, q.key(), now)
	})
	return claimed, err
}

// forget lets go of what was carried out long ago: its question is too old to be taken.
func (d *Desk) forget(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.done, func(_ string, at time.Time) bool { return now.Sub(at) > keep })
}

func (d *Desk) carryOut(ctx context.Context, q question) (any, error) {
	h, known := d.handlers[q.What]
	if !known {
		return nil, fault.New(fault.NotSupported, "the daemon of this vault that was asked does not know how", "upgrade every daemon of the vault")
	}
	body, err := d.open("question", q.ID, q.Body)
	if err != nil {
		return nil, err
	}
	return h(ctx, body)
}

// sweep takes away what nobody took: daemons died meanwhile.
func (d *Desk) sweep(ctx context.Context) {
	old := d.o.Clock().Add(-keep)
	err := d.update(ctx, func(tx store.Tx) error {
		var qs, as []string
		err := errors.Join(
			d.questions.Scan(tx, "", "", func(key string, q question) (bool, error) {
				if q.At.Before(old) {
					qs = append(qs, key)
				}
				return true, nil
			}),
			d.answers.Scan(tx, "", "", func(key string, a answer) (bool, error) {
				if a.At.Before(old) {
					as = append(as, key)
				}
				return true, nil
			}))
		for _, key := range qs {
			err = errors.Join(err, d.questions.Delete(tx, key))
		}
		for _, key := range as {
			err = errors.Join(err, d.answers.Delete(tx, key))
		}
		return err
	})
	if err != nil && ctx.Err() == nil && fault.CodeOf(err) != fault.VaultLocked {
		d.o.Log.Warn("old questions could not be taken away", "cause", fault.Cause(err))
	}
}
