package web

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/web/api"
	"github.com/zavhoz/zavhoz/web/envview"
)

// Approvals is what the API needs of the vault for what waits for a person (vault.Vault).
type Approvals interface {
	Awaited(ctx context.Context, within func(slug string) bool) ([]vault.Awaited, error)
}

// Kinds of approvals beyond the vault's own, and what is decided. Names are frozen.
const (
	ofChanges     = "changes"
	ofFileChange  = "file_change"
	ofFileLoss    = "file_loss"
	ofServersGone = "servers_gone"

	approve = "approve"
	deny    = "deny"
)

// approvalRoutes are one list of all that waits for a person's word, wherever it is decided. To approve is an act of a person; to deny takes away. What is decided with more than a word (a value, a
// fingerprint that was compared) is told with the command for it.
func (s *Server) approvalRoutes() {
	s.handle("GET /api/v1/approvals", http.StatusOK, s.listApprovals)
	s.handle("GET /api/v1/approvals/{approval}", http.StatusOK, s.showApproval)
	s.handle("POST /api/v1/approvals/{approval}", http.StatusOK, s.decide)
}

func (s *Server) listApprovals(r *http.Request) (any, error) {
	all, err := s.approvals(r)
	if err != nil {
		return nil, err
	}
	return paged(r, all, func(a api.Approval) string { return a.ID })
}

// approvals is what waits within the caller's reach. What is of no project is seen by those alone who are bound to none.
func (s *Server) approvals(r *http.Request) ([]api.Approval, error) {
	c := callerOf(r)
	waits, err := s.o.Vault.Awaited(r.Context(), withinOf(r))
	if err != nil {
		return nil, err
	}
	calls, err := s.waitingCalls(r)
	if err != nil {
		return nil, err
	}
	out := make([]api.Approval, 0, len(calls)+len(waits))
	out = append(out, calls...)
	for _, x := range waits {
		out = append(out, awaited(x))
	}
	if c == nil || c.everywhere() {
		for _, more := range []func(*http.Request) ([]api.Approval, error){s.heldChanges, s.fileApprovals, s.serversGone} {
			those, err := more(r)
			if err != nil {
				return nil, err
			}
			out = append(out, those...)
		}
	}
	for i := range out {
		out[i].Decisions = decisions(out[i], c != nil)
	}
	return out, nil
}

// decisions are those that a caller may take of what waits: nobody approves over HTTP.
func decisions(x api.Approval, bearer bool) []string {
	out := []string{}
	switch x.Kind {
	case ofCall:
		switch vault.ApprovalState(x.Call.State) {
		case vault.ApprovalWaiting:
			out = append(out, approve, deny)
		case vault.ApprovalApproved: // and not spent
			out = append(out, deny)
		}
	case string(vault.AwaitedEnvironment), ofChanges:
		out = append(out, approve, deny)
	case ofServersGone:
		out = append(out, approve)
	case string(vault.AwaitedIntake):
		out = append(out, deny)
	}
	if bearer {
		out = slices.DeleteFunc(out, func(d string) bool { return d == approve })
	}
	return out
}

// awaited says what the vault waits for.
func awaited(x vault.Awaited) api.Approval {
	a := api.Approval{ID: string(x.Kind) + ":" + x.Name, Kind: string(x.Kind), Project: x.Project, Handle: x.Name, What: x.What, Since: x.Since}
	switch x.Kind {
	case vault.AwaitedSecret:
		a.ID, a.Handle = string(x.Kind)+":"+x.Project+":"+x.Name, ""
		a.Command, a.Request = envview.Command(x.Project, x.Name), envview.Route(x.Project)
		if a.What == "" {
			a.What = "the value of " + x.Name
		}
	case vault.AwaitedEnvironment:
		a.Command = "zavhoz resource policy " + x.Name + " --approval none"
	case vault.AwaitedHostKey:
		a.Command = "zavhoz resource edit " + x.Name + " --pin-host-key"
	case vault.AwaitedIntake:
		a.Handle, a.Command, a.Request = "", api.IntakeCommand(x.Name), "POST /api/v1/intakes/"+x.Name+"/give"
	case vault.AwaitedRotation:
		a.Command = "zavhoz resource rotate " + x.Name + " --resume"
	}
	return a
}

// heldChanges is what runs of this machine wrote beside folders; of another replica's only that one knows.
func (s *Server) heldChanges(r *http.Request) (out []api.Approval, err error) {
	held, err := s.o.Runs.Held(operator(r))
	for _, h := range held {
		out = append(out, api.Approval{
			ID: ofChanges + ":" + h.RunID, Kind: ofChanges, What: "a run of " + h.Agent + " changed " + strconv.Itoa(len(h.Changes)) + " paths beside folders", Until: h.Until,
			Command: "zavhoz runs changes " + h.RunID + " --diff",
		})
	}
	return out, err
}

// fileApprovals is what files of secrets hold that is not believed without a word.
func (s *Server) fileApprovals(r *http.Request) (out []api.Approval, err error) {
	st, err := s.o.Status(r.Context())
	for _, f := range st.Files {
		if l := f.Lost; l != nil {
			out = append(out, api.Approval{
				ID: ofFileLoss + ":" + f.Name, Kind: ofFileLoss, What: strconv.Itoa(l.Absent) + " of the " + strconv.Itoa(l.Known) + " resources of " + f.Name + " are not in it any more", Since: f.Since,
				Command: "zavhoz sops accept " + f.Name,
			})
		}
		for _, p := range f.Problems {
			if p.Code == string(fault.ApprovalRequired) {
				out = append(out, api.Approval{ID: ofFileChange + ":" + f.Name + ":" + p.Where, Kind: ofFileChange, What: p.Message, Since: f.Since, Command: "zavhoz status"})
			}
		}
	}
	return out, err
}

// serversGone is a provider's list that lost more than a sync believes at once.
func (s *Server) serversGone(r *http.Request) ([]api.Approval, error) {
	info, err := s.o.Sync.Info(r.Context())
	if err != nil || info.Code != string(fault.SyncShrunk) {
		return nil, err
	}
	return []api.Approval{{ID: ofServersGone + ":sync", Kind: ofServersGone, What: "the provider's list lost so many servers at once that their absence is not believed", Command: "zavhoz server sync --confirm-shrunk"}}, nil
}

// decide takes a word about what waits. A presence that is asked for is asked for before anything is told of it.
func (s *Server) decide(r *http.Request) (any, error) {
	var in api.Decide
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.Decision != approve && in.Decision != deny {
		return nil, fault.New(fault.InvalidArgument, "a decision is approve or deny", "")
	}
	if in.Decision == approve {
		if err := s.present(r, audit.ApprovalDecide); err != nil {
			return nil, err
		}
	}
	if id.Is(r.PathValue("approval"), id.Approval) {
		a, err := s.o.Vault.Decide(r.Context(), operator(r), r.PathValue("approval"), vault.Decision{Approve: in.Decision == approve, Why: in.Why, Within: withinOf(r)})
		return api.Decided{ID: a.ID, Decision: in.Decision}, err
	}
	x, err := s.approval(r, r.PathValue("approval"))
	if err != nil {
		return nil, err
	}
	if x.Decisions = decisions(x, callerOf(r) != nil); !slices.Contains(x.Decisions, in.Decision) {
		return nil, fault.New(fault.ApprovalRequired, "this takes more than a word: a person does it on the machine", "run: "+x.Command)
	}
	return api.Decided{ID: x.ID, Decision: in.Decision}, s.carryOut(r, x, in)
}

// carryOut does what was decided; each act is on record by itself.
func (s *Server) carryOut(r *http.Request, x api.Approval, in api.Decide) error {
	ctx, who := r.Context(), operator(r)
	switch x.Kind {
	case ofChanges:
		run := x.ID[len(ofChanges)+1:]
		if in.Decision == deny {
			return s.o.Runs.Discard(ctx, who, run)
		}
		return s.o.Runs.Keep(ctx, who, run, api.KeepChanges{})
	case ofServersGone:
		_, err := s.o.Sync.Now(ctx, true)
		return err
	case string(vault.AwaitedIntake):
		_, err := s.o.Vault.DenyIntake(ctx, who, x.ID[len(x.Kind)+1:], in.Why)
		return err
	}
	res, err := s.o.Vault.Resource(ctx, x.Handle)
	if err != nil {
		return err
	}
	e := vault.Edit{IfVersion: res.Version, Why: in.Why} // what waited is what is decided
	if off := vault.Disabled; in.Decision == deny {
		e.Status = &off
	} else {
		p := res.Policy
		if p.Approval == policy.ApprovalFirst {
			p.Approval = ""
		}
		e.Policy = &p
	}
	_, err = s.o.Vault.EditResource(ctx, who, res.ID, e)
	return err
}
