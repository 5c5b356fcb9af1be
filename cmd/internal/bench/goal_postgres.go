package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/store/postgres"
)

// manyCallers is how many call at once where many do.
const manyCallers = 32

// job is one thing that a vault in PostgreSQL does, beside raw pgx that does as much. Each call gets a number.
type job struct {
	what, beside string
	floor, ours  func(i int) error
	times        float64 // wanted of one caller's p50; 0: nothing is
	share        float64 // wanted of the rate of many, in per cent; 0: nothing is
	oneRate      float64 // the same of one caller's
}

// overPostgres is goal 9: a secret read and opened, and a value replaced, sealed, audited and its version before kept, through a vault in PostgreSQL; secrets merged into
// projects; leases checked; on one replica and on three. Beside raw pgx, that reads one value of a project's jsonb, sets one, merges one, and looks up a row by its key.
// The server waits for its disk. The floor's table has as many rows as the vault has resources.
func overPostgres(ctx context.Context, b *bench) ([]Row, error) {
	server, err := postgrestest.NewDurable()
	if err != nil {
		return nil, err
	}
	defer server.Close()
	url := server.URL("sslmode=disable")
	st, err := postgres.Create(ctx, postgres.Options{URL: url})
	if err != nil {
		return nil, err
	}
	h, err := houseIn(ctx, st, resident)
	if err != nil {
		return nil, err
	}
	raw, err := rawProjects(ctx, server.URL("sslmode=disable&pool_max_conns=40"))
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	f := floorOfProjects{ctx, raw}
	for i := range resident { // every resource has a version before: what is measured is the second edit and those after it
		if err := h.edit(ctx, h.ids[i]); err != nil {
			return nil, err
		}
	}
	ready := func() error {
		return inUse(ctx, server.URLOf(postgrestest.Admin, server.AdminPassword, "sslmode=disable"))
	}
	if err := ready(); err != nil {
		return nil, err
	}
	rows, err := sameRowsRaw(b, f)
	if err != nil {
		return nil, err
	}
	if err := h.projects(ctx); err != nil {
		return nil, err
	}
	one, err := measureJobs(b, h.jobs(ctx, f, h), "", ready)
	if err != nil {
		return nil, err
	}
	leases, err := h.leases(ctx, b, raw) // they fill the vault's memory: after what they are nothing to
	if err != nil {
		return nil, err
	}
	checks, err := measureJobs(b, []job{leases.job(ctx, f, h)}, "", ready)
	if err != nil {
		return nil, err
	}
	replicas, closeReplicas, err := h.replicas(ctx, url, 3)
	if err != nil {
		return nil, err
	}
	for _, r := range replicas {
		if err := r.warm(ctx, b.rounds(resident)); err != nil {
			return nil, err
		}
	}
	three, err := measureJobs(b, append(h.jobs(ctx, f, replicas...), leases.job(ctx, f, replicas...)), ", by turns of three replicas", ready)
	return slices.Concat(rows, one, checks, three), errors.Join(err, closeReplicas(), h.close(ctx))
}

// jobs are what is measured of one vault, or of several over one database: call after call goes to the next.
func (h *house) jobs(ctx context.Context, f floorOfProjects, all ...*house) []job {
	at := func(i int) *house { return all[i%len(all)] }
	var added atomic.Int64
	return []job{
		{
			what: "a secret read and opened", beside: "raw pgx that reads one of a jsonb", times: 1.3, share: 75,
			floor: f.read, ours: func(i int) error { return at(i).open(ctx, h.ids[i%resident]) },
		},
		{
			what: "a value replaced: sealed, audited, its version before kept", beside: "raw pgx's jsonb_set", times: 1.3, share: 75,
			floor: f.set, ours: func(i int) error { return at(i).edit(ctx, h.ids[i%resident]) },
		},
		{
			what: "a resource added: sealed, audited", beside: "raw pgx's jsonb_set",
			floor: f.set, ours: func(i int) error {
				_, err := at(i).add(ctx, fmt.Sprintf("pg_%d_%d", len(all), added.Add(1)))
				return err
			},
		},
		{
			what: "a secret merged into a project", beside: "raw pgx's UPDATE … SET config = config || jsonb", share: 60, oneRate: 60,
			floor: f.merge, ours: func(i int) error { return at(i).merge(ctx, i) },
		},
	}
}

// job is the check of leases, at one vault or by turns at several.
func (l leased) job(ctx context.Context, f floorOfProjects, all ...*house) job {
	return job{
		what: fmt.Sprintf("a lease checked, among %d resources", l.resources), beside: "raw pgx that looks up a row by its key, among as many",
		floor: func(i int) error { return f.lease(i, l.resources) },
		ours:  func(i int) error { return all[i%len(all)].checkLease(ctx, l, i) },
	}
}

// warm uses what is measured once: a replica that serves has what it serves in memory.
func (h *house) warm(ctx context.Context, resources int) error {
	for i := range resources {
		if err := errors.Join(h.open(ctx, h.ids[i]), h.edit(ctx, h.ids[i])); err != nil {
			return err
		}
	}
	for i := range merged {
		if err := h.merge(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// open reads a resource and opens its value.
func (h *house) open(ctx context.Context, id string) error {
	r, err := h.Resource(ctx, id)
	if err != nil {
		return err
	}
	s, err := h.opener.Open(r.FieldRef("value"), r.Sealed["value"].Value)
	s.Wipe()
	return err
}

// measureJobs measures each job with one caller, call by call in turns with its floor, and then each with many. ready makes the server ready for the next.
func measureJobs(b *bench, jobs []job, where string, ready func() error) (rows []Row, err error) {
	for _, j := range jobs {
		if err := ready(); err != nil {
			return nil, err
		}
		n := 0
		got, err := samples(b.rounds(1000), micros(func() error { n++; return j.floor(n) }), micros(func() error { return j.ours(n) }))
		if err != nil {
			return nil, err
		}
		rows = append(rows, j.one(got[0], got[1], where)...)
	}
	for _, j := range jobs {
		if err := ready(); err != nil {
			return nil, err
		}
		more, err := j.many(b, where)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// one gives the rows of one caller.
func (j job) one(floor, ours measured, where string) []Row {
	name := func(what string) string {
		return fmt.Sprintf("%s; 1 caller%s%s, beside %s", j.what, where, what, j.beside)
	}
	p50 := Row{What: name(""), Floor: floor.at(50), Ours: ours.at(50), Unit: "µs"}.ratio(1, "×")
	switch {
	case j.times > 0:
		p50 = p50.times(j.times)
	case j.oneRate > 0:
		p50 = Row{What: name(""), Floor: 1e6 / floor.at(50), Ours: 1e6 / ours.at(50), Unit: "/s"}.share(j.oneRate)
	}
	return []Row{p50, Row{What: name(": p99"), Floor: floor.at(99), Ours: ours.at(99), Unit: "µs"}.ratio(1, "×")}
}

// many measures the job with many callers at once, by turns with its floor.
func (j job) many(b *bench, where string) ([]Row, error) {
	var took [2]measured
	calls := 0
	turn := func(k int, call func(int) error) func() (float64, error) {
		return func() (float64, error) {
			from := calls
			calls += 1 << 20
			perSecond, t, err := crowd(manyCallers, func(i int) error { return call(from + i) })
			took[k] = append(took[k], t...)
			return perSecond, err
		}
	}
	got, err := turns(b.rounds(11), turn(0, j.floor), turn(1, j.ours))
	if err != nil {
		return nil, err
	}
	for k := range took {
		slices.Sort(took[k])
	}
	name := func(what string) string {
		return fmt.Sprintf("%s; %d callers%s%s, beside %s", j.what, manyCallers, where, what, j.beside)
	}
	r := Row{What: name(""), Floor: got[0], Ours: got[1], Unit: "/s"}
	if r = r.ratio(100, "%"); j.share > 0 {
		r = r.share(j.share)
	}
	return []Row{r, Row{What: name(": p99"), Floor: took[0].at(99), Ours: took[1].at(99), Unit: "µs"}.ratio(1, "×")}, nil
}

// sameRowsRaw is what any store over PostgreSQL pays that keeps the rows of an audited edit: one statement, one round trip.
func sameRowsRaw(b *bench, f floorOfProjects) ([]Row, error) {
	n := 0
	next := func(rows int) int { n += rows; return n - rows }
	one, err := turns(b.rounds(1000), micros(func() error { return f.set(n) }), micros(func() error { return f.sameRows(next(1), 1) }), micros(func() error { return f.oneRow(n) }))
	if err != nil {
		return nil, err
	}
	many, err := turns(b.rounds(300), micros(func() error { return f.sameRows(next(manyCallers), manyCallers) })) // by itself: what follows it waits for the disk it kept busy
	if err != nil {
		return nil, err
	}
	rates, err := turns(b.rounds(11), func() (float64, error) { return rate(manyCallers, f.set) })
	if err != nil {
		return nil, err
	}
	return []Row{
		Row{What: "floor of the same bytes: what an edit writes, as one new row of raw pgx; 1 caller, beside raw pgx's jsonb_set", Floor: one[0], Ours: one[2], Unit: "µs"}.ratio(1, "×"),
		Row{What: "floor of the same rows: as many as an edit writes, in one statement of raw pgx; 1 caller, beside raw pgx's jsonb_set", Floor: one[0], Ours: one[1], Unit: "µs"}.ratio(1, "×"),
		Row{What: fmt.Sprintf("floor of the same rows: those of %d edits in one statement, one after the other, beside raw pgx's jsonb_set by %d callers", manyCallers, manyCallers),
			Floor: rates[0], Ours: manyCallers * 1e6 / many[0], Unit: "/s"}.ratio(100, "%"),
	}, nil
}
