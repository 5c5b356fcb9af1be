package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Row is one comparison. Floor and Ours are medians in Unit; how the two are compared is the goal's business.
type Row struct {
	Goal  string  `json:"goal"`
	What  string  `json:"what"`
	Floor float64 `json:"floor"`
	Ours  float64 `json:"ours"`
	Unit  string  `json:"unit"`
	// Value is what the goal speaks of: a ratio of ours to the floor (in "×" or "%"), a difference or ours itself, in its own unit.
	Value     float64 `json:"value"`
	ValueUnit string  `json:"value_unit"`
	Goalpost  string  `json:"goalpost,omitempty"` // "≤ 4"; empty: for comparison only
	Reached   *bool   `json:"reached,omitempty"`
}

// atMost judges: what is measured may be limit at most.
func (r Row) atMost(value float64, unit string, limit float64) Row {
	ok := value <= limit
	r.Value, r.ValueUnit, r.Goalpost, r.Reached = value, unit, "≤ "+number(limit), &ok
	return r
}

// times judges ours as a multiple of the floor.
func (r Row) times(limit float64) Row { return r.atMost(r.Ours/r.Floor, "×", limit) }

// share judges ours as a percentage of the floor.
func (r Row) share(limit float64) Row {
	r = r.ratio(100, "%")
	ok := r.Value >= limit
	r.Goalpost, r.Reached = "≥ "+number(limit), &ok
	return r
}

// ratio only shows ours as so many parts of the floor.
func (r Row) ratio(parts float64, unit string) Row {
	r.Value, r.ValueUnit = parts*r.Ours/r.Floor, unit
	return r
}

// number writes three digits that mean something, and no more.
func number(x float64) string {
	switch a := math.Abs(x); {
	case a >= 100 || x == math.Trunc(x) && a >= 1:
		return fmt.Sprintf("%.0f", x)
	case a >= 10:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.2f", x)
	}
}

func printRows(w io.Writer, rows []Row, head bool) {
	if head {
		fmt.Fprintln(w, "| goal | what | floor | ours | unit | result | wanted | reached |\n|---|---|---|---|---|---|---|---|")
	}
	for _, r := range rows {
		reached, wanted := "", r.Goalpost
		if r.Reached != nil {
			reached = map[bool]string{true: "yes", false: "no"}[*r.Reached]
			wanted += " " + r.ValueUnit
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s %s | %s | %s |\n", r.Goal, r.What, number(r.Floor), number(r.Ours), r.Unit, number(r.Value), r.ValueUnit, wanted, reached)
	}
}

// Machine is where a run was measured.
type Machine struct {
	Cores  int    `json:"cores"`
	CPU    string `json:"cpu"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Load   string `json:"load"` // before the run
}

func machine(ctx context.Context) Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), CPU: runtime.GOARCH, Kernel: runtime.GOOS}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(b))[:3], " ")
	}
	if b, err := exec.CommandContext(ctx, "uname", "-sr").Output(); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(b), "model name")
		name, _, _ := strings.Cut(rest, "\n")
		m.CPU = strings.TrimLeft(name, "\t :")
	}
	return m
}

func (m Machine) print(w io.Writer) {
	fmt.Fprintf(w, "%d cores (%s), %s, %s, load before: %s. Floor and ours are medians of the same run, taken in turns.\n\n", m.Cores, m.CPU, m.Kernel, m.Go, m.Load)
}

func writeJSON(w io.Writer, m Machine, rows []Row) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"machine": m, "rows": rows})
}
