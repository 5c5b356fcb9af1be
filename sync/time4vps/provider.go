package time4vps

import (
	"context"
	"errors"

	"github.com/zavhoz/zavhoz/sync"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Name is the provider's name in rows and reports.
const Name = "time4vps"

// Provider is the client as package sync sees a provider.
type Provider struct{ Client *Client }

var _ sync.Provider = Provider{}

// Name is "time4vps".
func (Provider) Name() string { return Name }

// List gives every active server.
func (p Provider) List(ctx context.Context) ([]sync.Observed, error) {
	servers, err := p.Client.List(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]sync.Observed, 0, len(servers))
	for _, s := range servers {
		out = append(out, sync.Observed{ProviderID: s.ID, IP: s.IP, Domain: s.Domain, Bad: s.Bad && s.ID != ""})
	}
	return out, nil
}

// Details gives a server's numbers. Its addresses are those of the list.
func (p Provider) Details(ctx context.Context, id string) (sync.Details, error) {
	d, err := p.Client.Details(ctx, id)
	if err != nil {
		return sync.Details{}, err
	}
	return sync.Details{CPU: d.CPU, RAMMB: d.RAMMB, DiskMB: d.DiskMB, UsedRAMMB: d.UsedRAMMB, UsedDiskMB: d.UsedDiskMB, OS: d.OS}, nil
}

// lifecycles reads a service's status.
var lifecycles = map[string]sync.Lifecycle{
	"active": sync.LifecycleActive, "suspended": sync.LifecycleSuspended,
	"terminated": sync.LifecycleDeleted, "cancelled": sync.LifecycleDeleted, "canceled": sync.LifecycleDeleted, "fraud": sync.LifecycleDeleted,
}

// Lifecycle asks the billing service what became of a server. A service that the provider does not know is deleted; a reply that makes no sense
// is an answer that says nothing; an outage, a refused login or a throttle is no answer.
func (p Provider) Lifecycle(ctx context.Context, id string) (sync.Lifecycle, error) {
	status, err := p.Client.Service(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return sync.LifecycleDeleted, nil
	case fault.CodeOf(err) == fault.ProviderReply:
		return sync.LifecycleUnknown, nil
	case err != nil:
		return "", err
	}
	if l, ok := lifecycles[status]; ok {
		return l, nil
	}
	return sync.LifecycleUnknown, nil
}
