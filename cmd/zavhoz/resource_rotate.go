package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

// rotateFlags are what a person says of a rotation.
type rotateFlags struct {
	values                        fieldFlags
	method, overlap, path         string
	alphabet                      string
	generate                      int
	dry, resume, abort, onlyState bool
	force, purge                  bool
}

func newResourceRotate(a *app) *cobra.Command {
	var f rotateFlags
	c := &cobra.Command{
		Use: "rotate HANDLE", Short: "Exchange a resource's credential for a new one", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOne(false, a.handles),
		Long: `Exchange a resource's credential for a new one. What can be done by zavhoz is: a server's ssh key and a PostgreSQL password are made, installed, proven by a login of
their own, and only then the old one goes; a Cloudflare token makes its successor; --generate makes a random value. Anything else a person makes and gives: it is asked
for on a terminal, or comes with --secret. The old value then stays as a former version, and masked, for --overlap, and is removed from the vault after it.

The new credential is sealed in the vault before it is installed anywhere. Whatever stops a rotation, one that works is in the vault: --status tells where it stands,
--purge has its end forget the old value where it would stay as a former version: after a leak you may still want it masked, so that is yours to say.
--resume brings it to its end (an overlap ends with it), --abort takes it back. --dry-run tells the steps. It asks for the operator's passphrase where one is set.`,
		Example: `  zavhoz resource rotate prod_vps_1 --dry-run
  zavhoz resource rotate prod_vps_1 --overlap 1h
  zavhoz resource rotate shop_db
  zavhoz resource rotate openai_main --secret key=- --overlap 24h < new-key.txt
  zavhoz resource rotate session_secret --generate 48
  zavhoz resource rotate prod_vps_1 --resume`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			switch {
			case f.force && !f.abort:
				return fault.New(fault.InvalidArgument, "--force goes with --abort", "")
			case f.onlyState:
				return a.rotation(cmd.Context(), cl, "GET", args[0], "")
			case f.resume:
				return a.rotation(cmd.Context(), cl, "POST", args[0], "/resume")
			case f.abort:
				return a.rotation(cmd.Context(), cl, "POST", args[0], map[bool]string{true: "/abort?force=true", false: "/abort"}[f.force])
			}
			return a.rotate(cmd.Context(), cl, args[0], f)
		},
	}
	fl := c.Flags()
	fl.StringArrayVar(&f.values.secrets, "secret", nil, "the new value of a field, name=- (standard input) or name=@FILE; never the value itself")
	fl.StringVar(&f.values.secretsFrom, "secrets", "", "new values as one JSON object from - (standard input) or @FILE")
	fl.StringVar(&f.method, "method", "", "how: ssh_key, postgres_password, cloudflare_token, telegram_token, generated or guided; by itself the one that fits")
	fl.StringVar(&f.overlap, "overlap", "", "how long the old value stays: 24h, 7d, 0")
	fl.IntVar(&f.generate, "generate", 0, "generic resources: make a random value of so many characters")
	fl.StringVar(&f.alphabet, "alphabet", "", "with --generate: its characters; letters and digits by itself")
	fl.StringVar(&f.path, "authorized-keys", "", "servers: where the keys are on the server; .ssh/authorized_keys by itself")
	fl.BoolVar(&f.purge, "purge", false, "forget the old value with the end of the rotation, where it would stay as a former version (ssh_key, postgres_password, cloudflare_token)")
	fl.BoolVar(&f.dry, "dry-run", false, "tell the steps and do nothing")
	fl.BoolVar(&f.resume, "resume", false, "bring a rotation that stopped to its end, or end an overlap now")
	fl.BoolVar(&f.abort, "abort", false, "take a rotation back")
	fl.BoolVar(&f.force, "force", false, "with --abort: look at nothing outside of the vault, for a server or a service that is gone")
	fl.BoolVar(&f.onlyState, "status", false, "tell where a rotation stands")
	c.MarkFlagsMutuallyExclusive("dry-run", "resume", "abort", "status")
	for _, act := range []string{"resume", "abort", "status"} { // of one that has begun, nothing more is to say
		for _, other := range []string{"secret", "secrets", "method", "overlap", "generate", "alphabet", "authorized-keys", "purge"} {
			c.MarkFlagsMutuallyExclusive(act, other)
		}
	}
	return c
}

// rotate plans, asks for what only a person has, and has it done.
func (a *app) rotate(ctx context.Context, cl *client, handle string, f rotateFlags) error {
	body, err := f.body()
	if err != nil {
		return err
	}
	given, err := a.fields(f.values)
	if err != nil {
		return err
	}
	defer given.wipe()
	if len(given.secrets) > 0 { // that there are some decides the method; their names do for that
		names := map[string]string{}
		for name := range given.secrets {
			names[name] = ""
		}
		body["secrets"] = names
	}
	var p api.RotationPlan
	if err := cl.call(ctx, "POST", path("resources", handle, "rotation", "plan"), body, &p); err != nil {
		return err
	}
	if f.dry {
		return a.show(p, func(w io.Writer) { printRotationPlan(w, p) })
	}
	if p.Guided && len(given.secrets) == 0 {
		if err := underWay(ctx, cl, handle); err != nil {
			return err
		}
		if err := a.askNewValue(ctx, p, given); err != nil {
			return err
		}
	}
	body["method"] = p.Method
	sent := given.body()
	defer wipeBody(sent)
	if s, ok := sent["secrets"]; ok {
		body["secrets"] = s
	}
	return a.rotationCall(ctx, cl, handle, body)
}

// underWay refuses a second rotation before a person has made and typed a value for it.
func underWay(ctx context.Context, cl *client, handle string) error {
	var now api.ResourceRotation
	if err := cl.call(ctx, "GET", path("resources", handle, "rotation"), nil, &now); err != nil {
		return err
	}
	switch now.Step {
	case "none", "done", "aborted":
		return nil
	}
	return fault.Newf(fault.ResourceBusy, "a rotation of %s is under way, at the step %s", handle, now.Step).
		WithNext("zavhoz resource rotate %s --resume brings it to its end, --abort takes it back", handle)
}

// body is the request but for the values.
func (f rotateFlags) body() (map[string]any, error) {
	b := map[string]any{}
	for name, v := range map[string]string{"method": f.method, "alphabet": f.alphabet, "authorized_keys": f.path} {
		if v != "" {
			b[name] = v
		}
	}
	if f.purge {
		b["purge"] = true
	}
	if f.generate != 0 {
		b["generate"] = f.generate
	}
	if f.overlap != "" {
		var s int64
		if f.overlap != "0" {
			var err error
			if s, err = seconds(f.overlap); err != nil {
				return nil, err
			}
		}
		b["overlap_s"] = s
	}
	return b, nil
}

// askNewValue tells a person what to do elsewhere, and asks for what comes of it, without echo.
func (a *app) askNewValue(ctx context.Context, p api.RotationPlan, into *fields) error {
	missing := fault.New(fault.SecretMissing, "the new value is needed: a person makes it", "give it with --secret NAME=-, on standard input")
	if !a.person() || len(p.Fields) != 1 {
		return missing
	}
	if len(p.Steps) > 0 {
		a.hint("First: %s.", plain(p.Steps[0]))
	}
	s, err := a.askSecret(ctx, a.stdin, "New "+plain(p.Fields[0])+": ")
	if err != nil {
		return err
	}
	if s.IsZero() {
		return missing
	}
	into.secrets = map[string]secret.Secret{p.Fields[0]: s}
	return nil
}

// rotationCall begins a rotation, and shows on a terminal how far it is.
func (a *app) rotationCall(ctx context.Context, cl *client, handle string, body map[string]any) error {
	done := a.watchRotation(ctx, cl, handle)
	var out api.ResourceRotation
	err := cl.call(ctx, "POST", path("resources", handle, "rotation"), body, &out)
	done()
	if err != nil {
		return a.stopped(ctx, cl, handle, err)
	}
	return a.showRotation(out)
}

// stopped says with an error what is left of a rotation.
func (a *app) stopped(ctx context.Context, cl *client, handle string, err error) error {
	var now api.ResourceRotation
	if cl.call(ctx, "GET", path("resources", handle, "rotation"), nil, &now) == nil && now.Step != "none" && !a.json {
		a.hint("The rotation of %s stands at the step %s; --resume brings it on, --abort takes it back.", plain(handle), now.Step)
	}
	return err
}

// rotation looks at one, brings it on or takes it back.
func (a *app) rotation(ctx context.Context, cl *client, method, handle, act string) error {
	done := a.watchRotation(ctx, cl, handle)
	var out api.ResourceRotation
	err := cl.call(ctx, method, path("resources", handle, "rotation")+act, nil, &out)
	done()
	if err != nil {
		return err
	}
	return a.showRotation(out)
}

// watchRotation shows on a terminal at which step a rotation is, while the daemon works on it, until done is called. Before that it shows nothing: a passphrase may be
// asked for there.
func (a *app) watchRotation(ctx context.Context, cl *client, handle string) (done func()) {
	if a.json || !isTerminal(a.stderr) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var shown sync.WaitGroup
	shown.Go(func() {
		tick := time.NewTicker(followEvery)
		defer tick.Stop()
		for visible := false; ; {
			select {
			case <-tick.C:
				var now api.ResourceRotation
				if cl.plain(ctx, "GET", path("resources", handle, "rotation"), nil, &now) == nil && now.Working && ctx.Err() == nil {
					fmt.Fprintf(a.stderr, "\rRotating %s… %s\x1b[K", plain(handle), plain(now.Step))
					visible = true
				}
			case <-ctx.Done():
				if visible {
					fmt.Fprint(a.stderr, "\r\x1b[K")
				}
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		cancel()
		shown.Wait()
	})
}

func (a *app) showRotation(r api.ResourceRotation) error {
	for _, s := range r.Remarks {
		a.hint("note: %s", plain(s))
	}
	return a.show(r, func(w io.Writer) {
		switch {
		case r.Step == "none":
			fmt.Fprintf(w, "No rotation of %s is under way.\n", r.Handle)
		case r.Step == "done":
			fmt.Fprintf(w, "Rotated %s (%s, version %d).\n", r.Handle, r.Method, r.Version)
		case r.Step == "aborted":
			fmt.Fprintf(w, "Taken back: %s has its old credential (version %d).\n", r.Handle, r.Version)
		case r.Step == "switched" && r.Until != nil && r.Code == "":
			fmt.Fprintf(w, "%s has its new credential (%s, version %d). The old one stays until %s%s; --resume ends that now, --abort goes back.\n",
				r.Handle, r.Method, r.Version, r.Until.Local().Format(time.RFC3339), map[bool]string{true: ", and is forgotten then", false: ""}[r.Purge])
		default:
			fmt.Fprintf(w, "The rotation of %s (%s) stands at the step %s.\n", r.Handle, r.Method, r.Step)
			if r.Working {
				fmt.Fprintln(w, "It is being worked on.")
			}
			if r.Code != "" {
				fmt.Fprintf(w, "It does not get on (%s): %s\n", r.Code, plain(r.Message))
			}
		}
	})
}

func printRotationPlan(w io.Writer, p api.RotationPlan) {
	fmt.Fprintf(w, "%s: %s\n", p.Method, p.Summary)
	for i, s := range p.Steps {
		fmt.Fprintf(w, "  %d. %s\n", i+1, s)
	}
	if len(p.Fields) > 0 {
		fmt.Fprintf(w, "A person gives: %s.\n", strings.Join(p.Fields, ", "))
	}
	if p.OverlapS > 0 {
		fmt.Fprintf(w, "The old value stays for %s.\n", whole(time.Duration(p.OverlapS)*time.Second))
	}
	switch {
	case len(p.Shared) > 0:
		fmt.Fprintf(w, "The same value is held by %s: it stops working there too.\n", plain(strings.Join(p.Shared, ", ")))
	case !p.Compared:
		fmt.Fprintln(w, "Whether other resources hold the same value is told to who has proven their presence; the rotation's end tells it.")
	}
	fmt.Fprintln(w, "Nothing was done.")
}
