package sync_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/sync"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// What sync keeps between cycles is part of the vault: a daemon of a later version reads it.
func TestGoldenState(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 8, 1, 12, minute, 0, 0, time.UTC) }
	const golden = `{"last_success":"2026-08-01T12:00:00Z","incident":{"code":"provider_unavailable","since":"2026-08-01T12:01:00Z","count":3},` +
		`"shrunk":{"lost":"0a0b","absent":4,"known":5,"cycles":2,"since":"2026-08-01T12:02:00Z","accepted":true}}`
	state := sync.State{
		LastSuccess: at(0), Incident: &sync.Incident{Code: fault.ProviderUnavailable, Since: at(1), Count: 3},
		Shrunk: &sync.Shrunk{Lost: "0a0b", Absent: 4, Known: 5, Cycles: 2, Since: at(2), Accepted: true},
	}
	b, err := json.Marshal(state)
	if err != nil || string(b) != golden {
		t.Errorf("written now: %s %v", b, err)
	}
	var read sync.State
	if err := json.Unmarshal([]byte(golden), &read); err != nil || !reflect.DeepEqual(read, state) {
		t.Errorf("read as %+v %v", read, err)
	}
}
