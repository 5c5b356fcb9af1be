package time4vps

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// pace is how often a task is asked after, and for how long.
type pace struct{ every, most time.Duration }

var (
	rebootPace   = pace{10 * time.Second, 600 * time.Second}
	passwordPace = pace{5 * time.Second, 300 * time.Second}
)

// Reboot reboots a server and waits until that is done.
func (c *Client) Reboot(ctx context.Context, server string) error {
	b := c.budget(ctx, rebootPace.most)
	task, err := c.start(ctx, server, "reboot", b)
	if err != nil {
		return err
	}
	t, err := c.await(ctx, server, task, rebootPace.every, b)
	t.Results.Wipe()
	return err
}

// ResetPassword makes the provider set a new root password and gives it. The completed task is the only place where it appears, so a poll is not given up
// for a throttle or an outage, only when its time is up; the fault then names the task (detail task_id), and AwaitPassword takes it up again.
func (c *Client) ResetPassword(ctx context.Context, server string) (secret.Secret, error) {
	b := c.budget(ctx, passwordPace.most)
	task, err := c.start(ctx, server, "resetpassword", b)
	if err != nil {
		return secret.Secret{}, err
	}
	return c.password(ctx, server, task, b)
}

// AwaitPassword waits for a password reset that was started before. task is its id, or TaskResetPassword for the latest.
func (c *Client) AwaitPassword(ctx context.Context, server, task string) (secret.Secret, error) {
	return c.password(ctx, server, task, c.budget(ctx, passwordPace.most))
}

func (c *Client) password(ctx context.Context, server, task string, b budget) (secret.Secret, error) {
	t, err := c.await(ctx, server, task, passwordPace.every, b)
	if err != nil {
		return secret.Secret{}, err
	}
	defer t.Results.Wipe()
	password, ok := parsePassword(t.Results)
	if !ok {
		return secret.Secret{}, fault.New(fault.ProviderReply, "the provider changed the password, but its answer holds none that can be read",
			"read the new password in the provider's panel").With("task_id", task).Because(ErrNoPassword)
	}
	return password, nil
}

// start begins an action. It is not repeated by itself, a throttle apart: an action whose answer got lost may have been done.
func (c *Client) start(ctx context.Context, server, action string, b budget) (task string, err error) {
	if !validID(server) {
		return "", badID()
	}
	err = c.do(ctx, call{method: http.MethodPost, path: "/server/" + server + "/" + action, limit: bodyCap, budget: max(b.left(), time.Millisecond)}, func(body []byte) error {
		task, err = decodeStarted(body)
		return err
	})
	return task, err
}

// hopeless are the failures that waiting does not mend.
var hopeless = []fault.Code{fault.ProviderLogin, fault.ProviderIPDenied, fault.Canceled, fault.TimedOut, fault.InvalidArgument, fault.VaultLocked, fault.SyncNotConfigured}

// await asks after a task until it is done or the budget ends.
func (c *Client) await(ctx context.Context, server, task string, every time.Duration, b budget) (Task, error) {
	for {
		t, err := c.task(ctx, server, task, max(b.left(), time.Millisecond))
		switch {
		case err == nil && t.Done:
			return t, nil
		case err != nil && (slices.Contains(hopeless, fault.CodeOf(err)) || errors.Is(err, ErrNotFound)):
			return Task{}, fault.Of(err).With("task_id", task)
		}
		t.Results.Wipe()
		if err := b.wait(ctx, every); err != nil {
			return Task{}, fault.Of(err).With("task_id", task)
		}
	}
}
