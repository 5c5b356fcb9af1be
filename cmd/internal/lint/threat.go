package main

import (
	"slices"
	"strconv"
	"strings"
)

const (
	threatPage = "docs/threat-model.md"
	codesPage  = "docs/exit-codes.md"
	codesFile  = "testdata/formats/codes.golden"
)

// statuses are what a row of the threat model may say of itself. One that stands, or does in part, must name its proof.
var statuses = []string{"stands", "partly", "no such tool yet", "not protected"}

// checkThreats keeps the threat model honest: rows are numbered without a gap (comments in the code cite the numbers), each says where it
// stands, and what stands names a test.
func checkThreats(t *Tree, _ *Rules) (out []Finding) {
	var numbers []int
	for line, cells := range t.rows(threatPage) {
		n, err := strconv.Atoi(cells[0])
		if err != nil {
			continue // a heading, or another table
		}
		numbers = append(numbers, n)
		status := ""
		for _, c := range cells {
			if slices.Contains(statuses, c) {
				status = c
			}
		}
		switch {
		case status == "":
			out = append(out, t.in(threatPage, line, "row %d has no status: one of %s", n, strings.Join(statuses, ", ")))
		case (status == "stands" || status == "partly") && !citedTest.MatchString(strings.Join(cells, " ")):
			out = append(out, t.in(threatPage, line, "row %d stands or does in part, but names no test", n))
		}
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		if n != i+1 {
			return append(out, t.in(threatPage, 0, "rows are not numbered 1, 2, 3, …: look at %d", n))
		}
	}
	if len(numbers) == 0 {
		out = append(out, t.in(threatPage, 0, "no rows: every attack has one"))
	}
	return out
}

// checkCodes compares the table of error codes that people read with the one that the program has.
func checkCodes(t *Tree, _ *Rules) (out []Finding) {
	want := map[string]string{} // code → "exit http retry"
	for _, line := range t.lines(codesFile) {
		if f := strings.Fields(line); len(f) == 4 {
			retry := map[string]string{"retry=true": "yes", "retry=false": "no"}[f[3]]
			want[f[0]] = strings.TrimPrefix(f[2], "exit=") + " " + strings.TrimPrefix(f[1], "http=") + " " + retry
		}
	}
	for line, cells := range t.rows(codesPage) {
		code := strings.Trim(cells[0], "`")
		if code == cells[0] || len(cells) < 4 || strings.ContainsAny(code, "0123456789") {
			continue // a heading, or the table of exit codes
		}
		w, ok := want[code]
		delete(want, code)
		if got := strings.Join(cells[1:4], " "); !ok {
			out = append(out, t.in(codesPage, line, "%s is not a code (any more)", code))
		} else if got != w {
			out = append(out, t.in(codesPage, line, "%s is exit, HTTP, retry %s, not %s", code, w, got))
		}
	}
	for _, code := range sortedKeys(want) {
		out = append(out, t.in(codesPage, 0, "the code %s is missing: %s", code, want[code]))
	}
	return out
}
