package vault

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// admitting are the statuses in which a server takes work.
var admitting = []string{"active", "ready", "in_use"}

func admits(status string) bool { return slices.Contains(admitting, status) }

// FieldRef names a sealed field of s for an opener.
func (s Server) FieldRef(field string) keyring.Ref {
	return keyring.Ref{Type: "server", ID: s.ID, Field: field, Version: s.Sealed[field].Version}
}

// serverOf finds the provider's row of a resource; store.ErrNotFound where it has none.
func (v *Vault) serverOf(tx store.Tx, rid string) (Server, error) {
	l, err := v.serverLinks.Get(tx, rid)
	if err != nil {
		return Server{}, err
	}
	return v.servers.Get(tx, l.ID)
}

// unlinkServer frees the provider's row of a resource that goes: it can be adopted again.
func (v *Vault) unlinkServer(tx store.Tx, rid string) error {
	s, err := v.serverOf(tx, rid)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	s.ResourceID, s.Version = "", s.Version+1
	return errors.Join(v.serverLinks.Delete(tx, rid), v.servers.Put(tx, s.ID, s))
}

// ServerView is a server with what its adopted resource adds. Reserved is what live leases hold, kept what the operator lets nobody have.
type ServerView struct {
	Server
	Handle        string // of the adopted resource; "" while only discovered
	Label         string // a name for people: the handle, or the server's id
	ReservedRAMMB int
	ReservedDisk  int
	ReservedCPU   int
	KeptRAMMB     int
	KeptDiskMB    int
	KeptCPU       int
	Age           time.Duration // of the numbers; negative where there are none
}

// FreeRAMMB is what can be allocated: capacity less max(reserved, observed) and what is kept, not under 0.
func (s ServerView) FreeRAMMB() int {
	return max(0, s.RAMMB-s.KeptRAMMB-max(s.ReservedRAMMB, s.UsedRAMMB))
}

// FreeDiskMB is the same of the disk.
func (s ServerView) FreeDiskMB() int {
	return max(0, s.DiskMB-s.KeptDiskMB-max(s.ReservedDisk, s.UsedDiskMB))
}

// FreeCPU is capacity less what is reserved and kept, not under 0: what cores do is not observed.
func (s ServerView) FreeCPU() int { return max(0, s.CPU-s.KeptCPU-s.ReservedCPU) }

// viewOf is a server as it is seen, with its resource; one of nobody's would be in the default project.
func (v *Vault) viewOf(tx store.Tx, s Server) (view ServerView, r Resource, err error) {
	view, r = ServerView{Server: s, Label: s.ID, Age: -1}, Resource{Kind: "server", Project: DefaultProject}
	if !s.ObservedAt.IsZero() {
		view.Age = max(0, v.now().Sub(s.ObservedAt))
	}
	if s.ResourceID != "" {
		if r, err = v.resources.Get(tx, s.ResourceID); err != nil {
			return view, r, found(err, fault.New(fault.VaultCorrupt, "a server leads to a resource that is lost", "restore from a backup"))
		}
		held, err := v.loadOf(tx, r.ID)
		if err != nil {
			return view, r, err
		}
		view.Handle, view.Label = r.Handle, r.Handle
		view.ReservedRAMMB, view.ReservedDisk, view.ReservedCPU = held.ram, held.disk, held.cpu
	}
	t, err := v.termsOf(tx, r)
	view.KeptRAMMB, view.KeptDiskMB, view.KeptCPU = t.ram, t.disk, t.cpu
	return view, r, err
}

// Server gives the operator one server of a provider, by id or handle. Errors: unknown_server.
func (v *Vault) Server(ctx context.Context, ref string) (view ServerView, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		s, err := v.findServer(tx, ref)
		if err != nil {
			return err
		}
		view, _, err = v.viewOf(tx, s)
		return err
	})
	return view, err
}

// Servers gives every server to the operator; to an agent the managed ones whose adopted resource it may use, or that nobody adopted yet
// and that lie in its reach (default project). In order of id.
func (v *Vault) Servers(ctx context.Context, actor Actor) (out []ServerView, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		out = nil
		var a Agent
		if actor.Type == audit.Agent {
			if a, err = v.agentOf(tx, actor); err != nil {
				return err
			}
		}
		return v.servers.Scan(tx, "", "", func(_ string, s Server) (bool, error) {
			view, r, err := v.viewOf(tx, s)
			if err == nil && (actor.Type != audit.Agent || s.IsManaged && visible(r, a)) {
				out = append(out, view)
			}
			return true, err
		})
	})
	if err != nil || actor.Type != audit.Agent {
		return out, err
	}
	return out, v.Note(ctx, audit.Event{Actor: actor, Action: audit.ServerList, Outcome: audit.Allowed, Detail: map[string]string{"count": utoa(uint64(len(out)))}})
}

// findServer finds a server by id or by the handle of its resource.
func (v *Vault) findServer(tx store.Tx, ref string) (Server, error) {
	missing := fault.New(fault.UnknownServer, "there is no such server", "`zavhoz server list` shows them")
	if len(ref) == 0 || len(ref) > 64 {
		return Server{}, missing
	}
	s, err := v.servers.Get(tx, ref)
	if errors.Is(err, store.ErrNotFound) {
		var l link
		if l, err = v.handles.Get(tx, ref); err == nil {
			s, err = v.serverOf(tx, l.ID)
		}
	}
	return s, found(err, missing)
}

// ManageServer records what the operator wants of a server: "yes" (managed), "no", or "auto" (as configured). A ghost is never managed.
func (v *Vault) ManageServer(ctx context.Context, actor Actor, ref, intent string) (s Server, err error) {
	if !slices.Contains([]string{"auto", "yes", "no"}, intent) {
		return s, fault.New(fault.InvalidArgument, "an intent is yes, no or auto", "")
	}
	err = v.update(ctx, func(tx store.Tx) error {
		if s, err = v.findServer(tx, ref); err != nil {
			return err
		}
		if intent == "yes" && s.Ghost {
			return fault.New(fault.NotPermitted, "the server is named in ghost_servers, so it is never managed", "take it out of ghost_servers in the configuration first")
		}
		s.Intent = intent
		if intent != "auto" {
			s.IsManaged = intent == "yes"
		}
		s.Version++
		if err := v.servers.Put(tx, s.ID, s); err != nil {
			return err
		}
		return v.audit.Append(tx, audit.Event{Actor: actor, Action: audit.ServerManage, Outcome: audit.Allowed, Subject: s.ID, Detail: map[string]string{"intent": intent}})
	})
	return s, err
}

// AdoptServer makes a discovered server a resource of kind server: its address comes from the provider's row, the rest from n. An adopted
// server is managed (unless it is a ghost, which is refused).
func (v *Vault) AdoptServer(ctx context.Context, actor Actor, ref string, n NewResource) (r Resource, err error) {
	defer wipeAll(n.Secrets)
	var s Server
	if err := v.view(ctx, func(tx store.Tx) (err error) { s, err = v.findServer(tx, ref); return err }); err != nil {
		return r, err
	}
	if err := adoptable(s); err != nil {
		return r, err
	}
	address := "ip"
	if _, ok := s.Sealed[address]; !ok {
		address = "domain"
	}
	host, err := v.opener.Open(s.FieldRef(address), s.Sealed[address].Value)
	if err != nil {
		return r, err
	}
	n.Kind, n.Secrets = "server", maps.Clone(n.Secrets)
	if n.Secrets == nil {
		n.Secrets = map[string]secret.Secret{}
	}
	n.Secrets["host"] = host
	defer host.Wipe()
	r, values, err := v.draft(actor, n)
	if err != nil {
		return r, err
	}
	defer wipeAll(values)
	if r.Sealed, err = v.seal(r.ID, 1, values); err != nil {
		return r, err
	}
	err = v.update(ctx, func(tx store.Tx) error {
		now, err := v.servers.Get(tx, s.ID)
		if err != nil {
			return err
		}
		if now.Version != s.Version && now.Prints[address] != s.Prints[address] {
			return fault.New(fault.VersionConflict, "the server changed meanwhile", "try again")
		}
		if err := errors.Join(adoptable(now), v.resealed(&r, values)); err != nil {
			return err
		}
		now.ResourceID, now.Intent, now.IsManaged, now.Version = r.ID, "yes", true, now.Version+1
		if now.Status == "discovered" {
			now.Status = "active"
		}
		if err := v.projectExists(tx, r.Project); err != nil {
			return err
		}
		if err := v.claimHandle(tx, r.Handle, r.ID); err != nil {
			return err
		}
		if err := errors.Join(v.resources.Put(tx, r.ID, r), v.servers.Put(tx, now.ID, now), v.serverLinks.Put(tx, r.ID, link{now.ID})); err != nil {
			return err
		}
		return v.audit.Append(tx, resourceEvent(actor, audit.ServerAdopt, r, map[string]string{"server": now.ID}))
	})
	return r, err
}

func adoptable(s Server) error {
	switch {
	case s.ResourceID != "":
		return fault.New(fault.NameTaken, "the server is adopted already", "`zavhoz server list` shows its handle")
	case s.Ghost:
		return fault.New(fault.NotPermitted, "the server is named in ghost_servers, so it is never managed", "take it out of ghost_servers in the configuration first")
	case len(s.Sealed) == 0:
		return fault.New(fault.ServerNotReady, "the provider has given the server no address yet", "wait for it to be built, then `zavhoz server sync`")
	}
	return nil
}
