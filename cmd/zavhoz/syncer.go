package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/web/api"
)

// syncer is the provider's sync as the daemon runs it; without a configured provider it says so.
type syncer struct{}

func newSyncer(*vault.Vault, *open.Opener, home.Config, *slog.Logger) (*syncer, error) {
	return &syncer{}, nil
}

// Info says how fresh the provider's data is.
func (s *syncer) Info(context.Context) (api.SyncInfo, error) { return api.SyncInfo{}, nil }

// Now runs a cycle.
func (s *syncer) Now(context.Context) (any, error) {
	return nil, fault.New(fault.SyncNotConfigured, "no provider is configured", "name the resource with its login under sync.time4vps in config.yaml, then `zavhoz stop`")
}

// Run runs cycles until ctx ends.
func (s *syncer) Run(ctx context.Context) { <-ctx.Done() }

// printReport prints a cycle's report for people: its fields, one a line.
func printReport(w io.Writer, raw json.RawMessage) {
	var m map[string]any
	if json.Unmarshal(raw, &m) != nil {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(w, "%-14s %v\n", k, m[k])
	}
}
