package time4vps

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Names of tasks; a name in place of an id gives the latest task of that kind.
const (
	TaskReboot        = "server_reboot"
	TaskResetPassword = "server_reset_password"
)

// Task is something that the provider does to a server by and by.
type Task struct {
	Name      string
	Activated time.Time // zero: not yet
	Assigned  time.Time
	Completed time.Time
	Done      bool          // `completed` says something
	Results   secret.Secret // of password tasks it holds the root password
}

// Task gives a task by its id, or by its name the latest of that kind.
func (c *Client) Task(ctx context.Context, server, task string) (Task, error) {
	return c.task(ctx, server, task, 0)
}

func (c *Client) task(ctx context.Context, server, task string, budget time.Duration) (t Task, err error) {
	if !validID(server) {
		return t, badID()
	}
	if !validID(task) && (task == "" || strings.Trim(task, "abcdefghijklmnopqrstuvwxyz_") != "") {
		return t, fault.New(fault.InvalidArgument, "a task is named by its number or by a name such as server_reboot", "")
	}
	err = c.do(ctx, call{method: http.MethodGet, path: "/server/" + server + "/task/" + task, limit: bodyCap, budget: budget}, func(body []byte) error {
		t, err = decodeTask(body)
		return err
	})
	return t, err
}

func decodeTask(body []byte) (Task, error) {
	var w struct {
		Name      text            `json:"name"`
		Activated text            `json:"activated"`
		Assigned  text            `json:"assigned"`
		Completed *text           `json:"completed"`
		Results   json.RawMessage `json:"results"`
	}
	err := object(body, &w)
	defer clear(w.Results)
	if err != nil {
		return Task{}, err
	}
	t := Task{Name: plain(w.Name.s, 64), Results: secret.New(unquote(w.Results))}
	t.Activated, _ = moment(w.Activated.s)
	t.Assigned, _ = moment(w.Assigned.s)
	if w.Completed != nil {
		t.Completed, t.Done = moment(w.Completed.s)
	}
	if t.Name == "" && t.Activated.IsZero() && !t.Done {
		t.Results.Wipe()
		return Task{}, errShape
	}
	return t, nil
}

// moment reads the provider's dates: RFC 3339, or "2006-01-02 15:04:05" without a zone, taken for UTC. Nothing, null and a zero date are "not yet"; a
// text that is no date we know is a moment that has come, though we cannot say when.
func moment(s string) (at time.Time, come bool) {
	s = strings.TrimSpace(s)
	if s == "" || strings.HasPrefix(s, "0000-00-00") {
		return time.Time{}, false
	}
	for _, layout := range []string{time.RFC3339, time.DateTime} {
		if at, err := time.Parse(layout, s); err == nil {
			return at.UTC(), true
		}
	}
	return time.Time{}, true
}

// decodeStarted reads {"task_id":N}.
func decodeStarted(body []byte) (string, error) {
	var w struct {
		TaskID text `json:"task_id"`
	}
	if err := object(body, &w); err != nil {
		return "", err
	}
	if !validID(w.TaskID.s) {
		return "", errShape
	}
	return w.TaskID.s, nil
}
