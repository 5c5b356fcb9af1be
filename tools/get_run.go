package tools

import (
	"context"

	"github.com/zavhoz/zavhoz/mcp"
)

var (
	_ = register(getRun)
	_ = register(stopRun)
)

type getRunIn struct {
	RunID  string `json:"run_id"`
	Offset int64  `json:"offset"`
}

type stopRunIn struct {
	RunID string `json:"run_id"`
}

func getRun(d Deps) mcp.Tool {
	return mcp.Tool{
		Name:  "get_run",
		Title: "Read a run",
		Description: "Gives the state and the output of a run of yours, from offset on: pass next_offset of the answer before to go on from there, 0 to read from the start. " +
			"For runs with background:true, and for output that run_with_resource cut. Output is kept for 15 minutes after the end. " +
			`Example: {"run_id":"run_…","offset":0}`,
		Input:       schema(`"run_id":{"type":"string","maxLength":64},"offset":{"type":"integer","minimum":0,"description":"next_offset of the answer before; 0 from the start"}`, "run_id"),
		Output:      schema(runOutProperties, runOutRequired...),
		Annotations: mcp.Annotations{ReadOnly: true, Idempotent: true},
		Handle: func(ctx context.Context, c *mcp.Call) (mcp.Result, error) {
			in, err := input[getRunIn](c)
			if err != nil {
				return mcp.Result{}, err
			}
			res, err := d.Runner.Get(ctx, actor(c, ""), in.RunID, in.Offset)
			if err != nil {
				return mcp.Result{}, err
			}
			return runView(res, false), nil
		},
	}
}

func stopRun(d Deps) mcp.Tool {
	return mcp.Tool{
		Name:  "stop_run",
		Title: "Stop a run",
		Description: "Stops a run that you started with background:true, with all its processes, and gives its last output. Stopping one that has ended is fine. " +
			`Example: {"run_id":"run_…"}`,
		Input:       schema(`"run_id":{"type":"string","maxLength":64}`, "run_id"),
		Output:      schema(runOutProperties, runOutRequired...),
		Annotations: mcp.Annotations{Destructive: true, Idempotent: true},
		Handle: func(ctx context.Context, c *mcp.Call) (mcp.Result, error) {
			in, err := input[stopRunIn](c)
			if err != nil {
				return mcp.Result{}, err
			}
			res, err := d.Runner.Stop(ctx, actor(c, ""), in.RunID)
			if err != nil {
				return mcp.Result{}, err
			}
			return runView(ends(res), true), nil
		},
	}
}
