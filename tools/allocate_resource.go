package tools

import (
	"context"
	"fmt"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
)

var _ = register(allocateResource)

type allocateIn struct {
	Handle       string          `json:"handle"`
	Kind         string          `json:"kind"`
	Purpose      string          `json:"purpose"`
	Project      string          `json:"project"`
	ForProject   string          `json:"for_project"`
	Context      string          `json:"context"`
	Requirements *requirementsIn `json:"requirements"`
	TTLS         int64           `json:"ttl_s"`
	MaxUses      int             `json:"max_uses"`
	IdemKey      string          `json:"idempotency_key"`
	DryRun       bool            `json:"dry_run"`
}

type requirementsIn struct {
	RAMMB    int            `json:"ram_mb"`
	DiskMB   int            `json:"disk_mb"`
	CPU      int            `json:"cpu"`
	Ports    []int          `json:"ports"`
	Services map[string]int `json:"services"`
}

type allocateOut struct {
	Handle    string         `json:"handle"`
	LeaseID   string         `json:"lease_id"` // "" of a dry run
	Kind      string         `json:"kind"`
	Project   string         `json:"project"`
	ExpiresAt string         `json:"expires_at"`
	ExpiresS  int64          `json:"expires_in_s"`
	Ports     []int          `json:"ports"`
	Services  map[string]int `json:"services"`
	Repeated  bool           `json:"repeated"`
	DryRun    bool           `json:"dry_run"`
	Use       string         `json:"use"`
}

func allocateResource(d Deps) mcp.Tool {
	return mcp.Tool{
		Name:  "allocate_resource",
		Title: "Allocate a resource",
		Description: "Leases one resource to you, by handle or by kind, for a purpose. You get its handle and a lease_id to name in run_with_resource; " +
			"never its value. The lease ends at expires_at (default 1 h, at most 24 h) or with release_resource. For servers, requirements reserve " +
			"memory, disk, cores and ports until then. A refusal says why and what to do next; dry_run tells what you would get, and leases nothing. " +
			"The same idempotency_key gives the same lease. " +
			`Example: {"kind":"server","purpose":"deploy the weather bot","requirements":{"ram_mb":512,"services":{"backend":0}}}`,
		Input: schema(`"handle":{"type":"string","maxLength":64,"description":"this resource; give either handle or kind"},`+
			`"kind":{"type":"string","enum":[`+kindEnum()+`],"description":"the best free one of this kind"},`+
			`"purpose":{"type":"string","minLength":1,"maxLength":200,"description":"what it is for; one line"},`+
			`"project":{"type":"string","maxLength":40,"description":"only resources of this project"},`+
			`"for_project":{"type":"string","maxLength":40,"description":"the project that it is for, where the resource is another's: its environment gets the ports of services"},`+
			`"context":{"type":"string","maxLength":200,"description":"your thread or session, so that its leases stay apart"},`+
			`"requirements":{"type":"object","properties":{"ram_mb":{"type":"integer","minimum":0,"maximum":1073741824},"disk_mb":{"type":"integer","minimum":0,"maximum":1073741824},"cpu":{"type":"integer","minimum":0,"maximum":65536},`+
			`"ports":{"type":"array","maxItems":16,"items":{"type":"integer","minimum":0,"maximum":65535},"description":"wanted ports, each once; 0 means any free one"},`+
			`"services":{"type":"object","maxProperties":16,"additionalProperties":{"type":"integer","minimum":0,"maximum":65535},"description":"ports by the name of what listens there, as in {\"backend\":0}; 0 means any free one"}},`+
			`"additionalProperties":false,"description":"servers only"},`+
			`"ttl_s":{"type":"integer","minimum":1,"maximum":86400},"max_uses":{"type":"integer","minimum":1,"maximum":1000000},`+
			`"idempotency_key":{"type":"string","maxLength":128},"dry_run":{"type":"boolean"}`, "purpose"),
		Output: schema(`"handle":{"type":"string"},"lease_id":{"type":"string"},"kind":{"type":"string"},"project":{"type":"string"},"expires_at":{"type":"string","format":"date-time"},`+
			`"expires_in_s":{"type":"integer"},"ports":{"type":"array","items":{"type":"integer"}},"services":{"type":"object","additionalProperties":{"type":"integer"}},"repeated":{"type":"boolean"},`+
			`"dry_run":{"type":"boolean"},"use":{"type":"string"}`,
			"handle", "lease_id", "kind", "project", "expires_at", "expires_in_s", "ports", "services", "repeated", "dry_run", "use"),
		Annotations: mcp.Annotations{Idempotent: false},
		Handle: func(ctx context.Context, c *mcp.Call) (mcp.Result, error) {
			in, err := input[allocateIn](c)
			if err != nil {
				return mcp.Result{}, err
			}
			q := vault.AllocateRequest{
				Handle: in.Handle, Kind: in.Kind, Purpose: in.Purpose, Project: in.Project, For: in.ForProject, Context: in.Context, MaxUses: in.MaxUses, IdemKey: in.IdemKey, DryRun: in.DryRun,
				TTL: time.Duration(in.TTLS) * time.Second,
			}
			if r := in.Requirements; r != nil {
				q.Demand = vault.Demand{RAMMB: r.RAMMB, DiskMB: r.DiskMB, CPU: r.CPU, Ports: r.Ports, Services: r.Services}
			}
			a, err := d.Vault.Allocate(ctx, actor(c, in.Context), q)
			if err != nil {
				return mcp.Result{}, err
			}
			return allocated(a, in.DryRun, d.Clock()), nil
		},
	}
}

func allocated(a vault.Allocation, dry bool, now time.Time) mcp.Result {
	out := allocateOut{
		Handle: a.Resource.Handle, LeaseID: a.Lease.ID, Kind: a.Resource.Kind, Project: a.Lease.Project, ExpiresAt: a.Lease.ExpiresAt.UTC().Format(time.RFC3339),
		ExpiresS: seconds(a.Lease.ExpiresAt.Sub(now)), Ports: a.Lease.Ports, Services: a.Lease.Services, Repeated: a.Repeated, DryRun: dry, Use: resourceView(a.Resource).Use,
	}
	if out.Ports == nil {
		out.Ports = []int{}
	}
	if out.Services == nil {
		out.Services = map[string]int{}
	}
	text := fmt.Sprintf("%s is yours until %s (lease %s).", out.Handle, out.ExpiresAt, out.LeaseID)
	if dry && !a.Repeated {
		text = fmt.Sprintf("%s would be yours until %s. Nothing is leased: call again without dry_run.", out.Handle, out.ExpiresAt)
	}
	return mcp.Result{Text: text, Structured: out}
}
