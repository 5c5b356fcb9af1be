package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/sync/time4vps/time4vpstest"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// stage is everything that the play needs: the home, the services, the secrets to look for.
type stage struct {
	dir, home, bin, client string
	token                  string
	weather                *weather
	machine                *machine
	provider               *time4vpstest.Running
	sim                    *time4vpstest.Sim
	login                  string // the provider account's password
	walled                 bool   // commands of the model's own choice start here
	closers                []func()
	screen                 *screen
}

// newStage starts the services.
func newStage(ctx context.Context, dir, bin string) (*stage, error) {
	st := &stage{dir: dir, home: filepath.Join(dir, "home"), bin: bin, client: filepath.Join(dir, "forecast"), screen: newScreen()}
	var b [24]byte
	_, _ = rand.Read(b[:])
	st.token = "wk_live_" + hex.EncodeToString(b[:])
	var err error
	if st.weather, err = newWeather(st.token, filepath.Join(dir, "ca.pem")); err != nil {
		return nil, err
	}
	st.closers = append(st.closers, func() { st.weather.srv.Close() })
	if st.machine, err = newMachine(dir); err != nil {
		return nil, errors.Join(err, st.close())
	}
	st.closers = append(st.closers, st.machine.stop)
	if err := st.newProvider(); err != nil {
		return nil, errors.Join(err, st.close())
	}
	if err := goBuild(ctx, st.client, "./cmd/internal/demo"); err != nil {
		return nil, errors.Join(err, st.close())
	}
	return st, nil
}

// newProvider starts a simulator of the provider with three servers, one of which the operator does not want touched.
func (st *stage) newProvider() error {
	var b [12]byte
	_, _ = rand.Read(b[:])
	st.login = "pw-" + hex.EncodeToString(b[:])
	st.sim = time4vpstest.New()
	st.sim.SetLogin("owner@example.org", st.login)
	st.sim.Populate(3)
	running, err := st.sim.Start()
	st.provider = running
	if err == nil {
		st.closers = append(st.closers, running.Close)
	}
	return err
}

// close ends what was started, last things first: while the daemon keeps its connection, a child of sshd lives and holds sshd's log open.
// providerHost is the simulator's host and port: the login's own rules know only the real provider.
func (st *stage) providerHost() string {
	return strings.TrimSuffix(strings.TrimPrefix(st.provider.URL, "http://"), "/api")
}

func (st *stage) close() error {
	for _, c := range slices.Backward(st.closers) {
		c()
	}
	st.closers = nil
	return nil
}

// goBuild builds a program of this module.
func goBuild(ctx context.Context, out, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// prepare plays the person: init, two resources, a pin, a host key.
func (st *stage) prepare(ctx context.Context) error {
	st.screen.title("A person gives Zavhoz a key and a server (values on standard input or from files, never in arguments)")
	host := filepath.Join(st.dir, "host.txt")
	if err := os.WriteFile(host, []byte("127.0.0.1"), 0o600); err != nil {
		return err
	}
	steps := []struct {
		stdin string
		args  []string
	}{
		{"", []string{"init"}},
		{st.token, []string{"resource", "add", "api_key", "weather_key", "--set", "env=WEATHER_API_KEY", "--set", "hosts=" + st.weather.addr, "--secret", "key=-"}},
		{"", []string{"resource", "policy", "weather_key", "--agent", "local", "--resolve", weatherHost + "=127.0.0.1", "--allow-private", "--upstream-ca", "@" + st.weather.caFile}},
		{"", []string{"resource", "policy", "weather_key", "--pin", "forecast", "--pin-env", "WEATHER_ADDR", "--", st.client, "forecast", "{hours:int}"}},
		{"", []string{"resource", "add", "server", "prod_vps_1", "--set", "user=" + userName(), "--set", "port=" + strconv.Itoa(st.machine.port), "--secret", "host=@" + host, "--secret", "ssh_key=@" + st.machine.keyFile}},
		{"", []string{"resource", "edit", "prod_vps_1", "--pin-host-key", "--yes"}},
		{st.login, []string{"resource", "add", "api_key", "time4vps_login", "--set", "service=time4vps", "--set", "username=owner@example.org", "--secret", "key=-"}},
		{"", []string{"resource", "policy", "time4vps_login", "--host", st.providerHost()}},
		{"", []string{"server", "sync"}},
		{"", []string{"server", "list"}},
		{"", []string{"doctor"}},
	}
	for _, s := range steps {
		if s.args[0] == "server" && s.args[1] == "sync" {
			if err := st.configureSync(ctx); err != nil {
				return err
			}
		}
		out, err := st.zavhoz(ctx, s.stdin, s.args...)
		st.screen.person(s.args, out)
		if s.args[0] == "doctor" { // where it finds no walls it fails, and the play goes on without
			st.walled = !strings.Contains(out, string(fault.IsolationMissing))
			continue
		}
		if err != nil {
			return fmt.Errorf("zavhoz %s: %w", s.args[0], err)
		}
	}
	st.closers = append(st.closers, func() { _, _ = st.zavhoz(context.WithoutCancel(ctx), "", "stop") })
	return nil
}

// configureSync names the provider in the configuration, as a person does with an editor, and stops the daemon: the next command starts one that reads it.
func (st *stage) configureSync(ctx context.Context) error {
	file := filepath.Join(st.home, "config.yaml")
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	b = bytes.Replace(b, []byte(`resource: ""`), []byte(`resource: time4vps_login`), 1)
	b = bytes.Replace(b, []byte("https://billing.time4vps.com/api"), []byte(st.provider.URL), 1)
	b = bytes.Replace(b, []byte("auto_manage: false"), []byte("auto_manage: true"), 1)
	b = bytes.Replace(b, []byte("ghost_servers: []"), []byte("ghost_servers: [300003]"), 1)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return err
	}
	_, err = st.zavhoz(ctx, "", "stop")
	return err
}

// zavhoz runs a command as the person would, and gives all that it printed.
func (st *stage) zavhoz(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, st.bin, args...)
	cmd.Env = st.env()
	cmd.Stdin = bytes.NewReader([]byte(stdin))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (st *stage) env() []string { return append(os.Environ(), "ZAVHOZ_HOME="+st.home) }

func userName() string {
	if u := os.Getenv("USER"); u != "" && os.Getuid() != 0 {
		return u
	}
	return "root"
}

// serve goes on after the play: the daemon on loopback, and how to connect.
func (st *stage) serve(ctx context.Context) error {
	out, err := st.zavhoz(ctx, "", "agent", "add", "visitor", "--json")
	if err != nil {
		return err
	}
	_, _ = st.zavhoz(ctx, "", "stop")
	st.screen.title("Serving this throwaway vault; Ctrl-C ends it and removes everything")
	fmt.Printf("  stdio:  ZAVHOZ_HOME=%s %s mcp\n", st.home, st.bin)
	fmt.Printf("  HTTP:   claude mcp add --transport http zavhoz http://127.0.0.1:8390/mcp --header \"Authorization: Bearer %s\"\n\n", field(out, "token"))
	cmd := exec.CommandContext(ctx, st.bin, "serve", "--listen", "127.0.0.1:8390")
	cmd.Env, cmd.Stdout, cmd.Stderr = st.env(), os.Stdout, io.Discard
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("zavhoz serve: %w", err)
	}
	return nil
}
