package time4vpstest

import (
	"encoding/json"
	"fmt"
	"html"
	"strconv"
	"time"
)

// task is something begun on a server.
type task struct {
	id     int
	server int
	name   string
	polls  int // still to be answered before it is done
	result string
}

// start of the simulated tasks; a fixed day, so that replies are the same in every run.
var start = time.Date(2026, 9, 1, 10, 25, 24, 0, time.UTC)

// begin makes a task. A password reset makes a new password at once; only the completed task gives it.
func (s *Sim) begin(v *Server, name string) []byte {
	s.nextTask++
	t := &task{id: s.nextTask, server: v.ID, name: name, polls: s.polls, result: "OK"}
	if name == "server_reset_password" {
		v.RootPassword = fmt.Sprintf("reset-%d-Hy7&uV2x", t.id)
		t.result = anchor(v.RootPassword)
		if s.style.PlainResult {
			t.result = "New password: " + v.RootPassword
		}
	}
	s.tasks[t.id] = t
	return []byte(`{"task_id":` + strconv.Itoa(t.id) + `}`)
}

// anchor is how the provider's panel shows a password.
func anchor(password string) string {
	return `<a href="#" onclick='this.innerHTML = "` + html.EscapeString(password) + `"; return false;'>Show password</a>`
}

// poll gives a task by id or by name, and lets time pass.
func (s *Sim) poll(v *Server, ref string) (int, []byte) {
	id, _ := strconv.Atoi(ref)
	t := s.tasks[id]
	for _, x := range s.tasks {
		if x.name == ref && x.server == v.ID && (t == nil || x.id > t.id) {
			t = x
		}
	}
	if t == nil || t.server != v.ID {
		return 200, []byte(`{"error":["Invalid task ID"]}`)
	}
	t.polls--
	return 200, s.task(t)
}

func (s *Sim) task(t *task) []byte {
	layout := time.RFC3339
	if s.style.NaiveTimes {
		layout = time.DateTime
	}
	var never any = ""
	if s.style.NullTimes {
		never = nil
	}
	m := map[string]any{"name": t.name, "activated": start.Format(layout), "assigned": never, "completed": never, "results": never}
	if t.polls < 0 {
		m["assigned"], m["completed"], m["results"] = start.Add(6*time.Second).Format(layout), start.Add(40*time.Second).Format(layout), t.result
	}
	b, _ := json.Marshal(m)
	return b
}
