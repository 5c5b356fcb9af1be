package tools

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

var _ = register(listManagedServers)

type serversIn struct {
	Status      string `json:"status"`
	MinFreeRAM  int    `json:"min_free_ram_mb"`
	MinFreeDisk int    `json:"min_free_disk_mb"`
	MinFreeCPU  int    `json:"min_free_cpu"`
	Cursor      string `json:"cursor"`
}

// serverOut is a server as a model sees it: never an address or a provider's id.
type serverOut struct {
	Handle     string `json:"handle"` // "" while nobody adopted it
	Name       string `json:"name"`
	Status     string `json:"status"`
	CPU        int    `json:"cpu"`
	RAMMB      int    `json:"ram_mb"`
	DiskMB     int    `json:"disk_mb"`
	FreeCPU    int    `json:"free_cpu"`
	FreeRAMMB  int    `json:"free_ram_mb"`
	FreeDiskMB int    `json:"free_disk_mb"`
	AgeS       *int64 `json:"data_age_s"`
}

type serversOut struct {
	Servers    []serverOut `json:"servers"`
	NextCursor string      `json:"next_cursor"`
	SyncAgeS   *int64      `json:"sync_age_s"`
	SyncOK     bool        `json:"sync_ok"`
}

func listManagedServers(d Deps) mcp.Tool {
	const number = `{"type":"integer","minimum":0}`
	return mcp.Tool{
		Name:  "list_managed_servers",
		Title: "List managed servers",
		Description: "Lists the servers that the operator manages through a provider: capacity, what allocate_resource can still give (free_*), and how old the numbers are (data_age_s). " +
			"Addresses are never shown. To use one, allocate_resource with its handle. Servers added by hand are in list_resources. " +
			`Example: {"min_free_ram_mb":1024}`,
		Input: schema(`"status":{"type":"string","maxLength":32,"description":"only this status, e.g. active"},"min_free_ram_mb":` + number + `,"min_free_disk_mb":` + number + `,"min_free_cpu":` + number +
			`,"cursor":{"type":"string","maxLength":100}`),
		Output: schema(`"servers":{"type":"array","items":{"type":"object","properties":{"handle":{"type":"string"},"name":{"type":"string"},"status":{"type":"string"},"cpu":{"type":"integer"},"ram_mb":{"type":"integer"},"disk_mb":{"type":"integer"},`+
			`"free_cpu":{"type":"integer"},"free_ram_mb":{"type":"integer"},"free_disk_mb":{"type":"integer"},"data_age_s":{"type":["integer","null"]}},`+
			`"required":["handle","name","status","cpu","ram_mb","disk_mb","free_cpu","free_ram_mb","free_disk_mb","data_age_s"],"additionalProperties":false}},`+
			`"next_cursor":{"type":"string"},"sync_age_s":{"type":["integer","null"]},"sync_ok":{"type":"boolean"}`, "servers", "next_cursor", "sync_age_s", "sync_ok"),
		Annotations: mcp.Annotations{ReadOnly: true, Idempotent: true},
		Handle: func(ctx context.Context, c *mcp.Call) (mcp.Result, error) {
			in, err := input[serversIn](c)
			if err != nil {
				return mcp.Result{}, err
			}
			all, err := d.Vault.Servers(ctx, actor(c, ""))
			if err != nil {
				return mcp.Result{}, err
			}
			info, err := d.Sync(ctx)
			if err != nil {
				return mcp.Result{}, err
			}
			return serversPage(in, all, info)
		},
	}
}

func serversPage(in serversIn, all []vault.ServerView, info api.SyncInfo) (mcp.Result, error) {
	start, err := pageStart(in.Cursor)
	if err != nil {
		return mcp.Result{}, err
	}
	out := serversOut{Servers: []serverOut{}, SyncAgeS: info.AgeS, SyncOK: info.Configured && !info.Failing}
	n := 0
	for _, s := range all {
		if in.Status != "" && s.Status != in.Status || s.FreeRAMMB() < in.MinFreeRAM || s.FreeDiskMB() < in.MinFreeDisk || s.FreeCPU() < in.MinFreeCPU {
			continue
		}
		if n++; n <= start {
			continue
		}
		if len(out.Servers) == listPage {
			out.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(n - 1)))
			break
		}
		out.Servers = append(out.Servers, serverView(s))
	}
	text := plural(len(out.Servers), "managed server") + "."
	if out.NextCursor != "" {
		text += " More with next_cursor."
	}
	switch {
	case !info.Configured:
		text += " No provider is configured; servers added by hand are in list_resources."
	case info.Failing && info.AgeS != nil:
		text += fmt.Sprintf(" The provider cannot be reached; the data is %d s old.", *info.AgeS)
	case info.Failing:
		text += " The provider has not been reached yet."
	}
	return mcp.Result{Text: text, Structured: out}, nil
}

func serverView(s vault.ServerView) serverOut {
	out := serverOut{
		Handle: s.Handle, Name: s.Label, Status: s.Status, CPU: s.CPU, RAMMB: s.RAMMB, DiskMB: s.DiskMB,
		FreeCPU: s.FreeCPU(), FreeRAMMB: s.FreeRAMMB(), FreeDiskMB: s.FreeDiskMB(),
	}
	if s.Age >= 0 {
		age := seconds(s.Age)
		out.AgeS = &age
	}
	return out
}

func pageStart(cursor string) (int, error) {
	if cursor == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	n, err2 := strconv.Atoi(string(b))
	if err != nil || err2 != nil || n < 0 {
		return 0, fault.New(fault.InvalidArgument, "the cursor is not one that zavhoz gave", "start again without a cursor")
	}
	return n, nil
}
