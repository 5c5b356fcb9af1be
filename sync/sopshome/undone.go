package sopshome

import (
	"context"
	"slices"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/sops"
)

// redo writes again what another program undid without having seen it: it had read the file before. The vault has never stopped to have it.
func (h *Home) redo(ctx context.Context) {
	for _, u := range h.src.Undone() {
		w := writing{path: u.Path, act: "redo", handle: name(u.Path), changes: u.Changes}
		_ = h.src.View(func(set sops.Set) error {
			entries, _, wipe := all(set)
			defer wipe()
			for _, e := range entries {
				if e.File == u.Path && len(e.Path) <= len(u.Changes[0].Path) && slices.Equal(e.Path, u.Changes[0].Path[:len(e.Path)]) {
					w.handle = e.Handle
				}
			}
			return nil
		})
		err := h.writeFile(ctx, vault.SystemActor("sops"), w)
		u.Wipe()
		if err != nil && ctx.Err() == nil {
			h.o.Log.Error("another program undid a write of a file of secrets, and it could not be written again: its former value is among the versions",
				"file", name(u.Path), "entry", w.handle, "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
		}
	}
}

// conclude puts on record what came of writes that a stop cut off: their intent is on record, and nothing after it. Once, when the files are first read.
func (h *Home) conclude(ctx context.Context) {
	if h.ended {
		return
	}
	pending, err := h.pending(ctx)
	for _, r := range pending {
		e := r.Event
		e.Detail = map[string]string{"file": r.Detail["file"], "act": r.Detail["act"], "phase": "outcome", "after": "stop"}
		if h.src.Sum(h.pathOf(sourceMark+r.Detail["file"])) == r.Detail["from"] {
			e.Outcome, e.Code = audit.Failed, string(fault.Canceled) // the file is as it was
		}
		if err == nil {
			err = h.Vault.Record(ctx, e)
		}
	}
	if err != nil && ctx.Err() == nil {
		h.o.Log.Error("what came of the writing of a file of secrets could not be recorded", "cause", fault.Cause(err))
	}
	h.ended = err == nil
}

// pending gives the last write of each file that can be read, where it has an intent and no outcome.
func (h *Home) pending(ctx context.Context) (out []audit.Record, err error) {
	log, st := h.Vault.Audit()
	seen := map[string]bool{}
	err = st.View(ctx, func(tx store.Tx) error {
		rs, _, err := log.List(tx, audit.Filter{Action: audit.FileWrite, Since: h.o.Now().Add(-pendingFor), Limit: audit.MaxLimit})
		if err != nil {
			return err
		}
		for _, r := range rs { // newest first
			file := r.Detail["file"]
			if !seen[file] && r.Detail["phase"] == "intent" && r.Detail["from"] != "" && h.src.Sum(h.pathOf(sourceMark+file)) != "" {
				out = append(out, r)
			}
			seen[file] = true
		}
		return nil
	})
	return out, vault.StoreFault(err)
}
