package main

import (
	"io"
	"log"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/home"
)

func newServe(a *app) *cobra.Command {
	var o serveOptions
	var from string
	c := &cobra.Command{
		Use: "serve", Short: "Hold the vault and answer agents and the operator", Args: cobra.NoArgs,
		Long: `Hold the vault and answer: agents on agent.sock, the operator on operator.sock, and with --listen agents over HTTP (/mcp, /sse and /message) with a token
(see zavhoz agent add). Off loopback it listens only with TLS or behind a named proxy (see http: in config.yaml).

With --system it is a service of the system, with a user of its own: it takes agents of other users only, by token, at agent_socket of config.yaml or over HTTP,
and gives each run a user, too. That is the isolation level vaulted (docs/install.md).

The vault is the home's vault.db, or with --store a PostgreSQL database, which many daemons may serve, each from a home of its own (docs/postgresql.md).

The key comes from where unlock: in config.yaml says (docs/unlocking.md). Where only a person has it and none is there, the daemon starts all the same, locked:
everything answers vault_locked until zavhoz unlock. A vault that was locked stays so over daemons.`,
		Example: "  zavhoz serve\n  zavhoz serve --listen 127.0.0.1:8390\n  zavhoz serve --system\n  zavhoz serve --locked",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var ready *os.File
			if o.autostarted {
				ready = readyPipe()
			}
			o.ask = a.asker(cmd.Context(), from, o.autostarted)
			err := a.serve(cmd, o, ready)
			if err != nil {
				report(ready, err)
			}
			return err
		},
	}
	a.registerStore(c)
	c.Flags().StringVar(&o.listen, "listen", "", "address for HTTP, e.g. 127.0.0.1:8390 (default: http.listen of config.yaml; empty: none)")
	c.Flags().BoolVar(&o.system, "system", false, "a service of the system: its user is no agent's (default: system of config.yaml)")
	c.Flags().BoolVar(&o.locked, "locked", false, "start locked, until zavhoz unlock")
	c.Flags().BoolVar(&o.accept, "accept-store", false, "the database was restored, or holds another vault: take what it holds, asked at a terminal (docs/postgresql.md)")
	registerPassphrase(c, &from, "the vault's passphrase")
	c.Flags().BoolVar(&o.autostarted, "autostarted", false, "a door started this daemon: report on the pipe it gave, end when idle")
	_ = c.Flags().MarkHidden("autostarted")
	return c
}

func (a *app) serve(cmd *cobra.Command, o serveOptions, ready *os.File) error {
	o.credentials = os.Getenv(credentialsVariable)
	dir, err := a.dir()
	if err == nil {
		o.place, err = a.place(dir)
	}
	scrub()
	harden()
	log.SetOutput(io.Discard) // libraries write there what a peer sent (net/http: an unsolicited reply)
	if err != nil {
		return err
	}
	cfg, err := home.LoadConfig(dir.Config())
	if err != nil {
		return err
	}
	if o.autostarted {
		a.stderr = a.ownLog(dir.Log())
	}
	if o.listen == "" {
		o.listen = cfg.HTTP.Listen
	}
	o.system = o.system || cfg.System
	if err := o.checkSystem(); err != nil {
		return err
	}
	if err := a.agreeToStore(cmd.Context(), o); err != nil {
		return err
	}
	d, err := newDaemon(cmd.Context(), dir, o, newLog(a.stderr, cfg.LogLevel()))
	if err != nil {
		return err
	}
	return d.serve(cmd.Context(), ready)
}

// newLog writes JSON lines. What may be logged is codes, counts, types and our own words; see fault.Cause.
func newLog(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}
