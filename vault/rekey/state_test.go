package rekey

import (
	"encoding/json"
	"testing"
	"time"
)

// The state of a rotation outlives the version that began it.
func TestGoldenState(t *testing.T) {
	at := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	b, err := json.Marshal(state{Format: 1, From: "0102030405060708", To: "1112131415161718", BegunAt: at, Total: 9, Done: 4, Pass: 1, Collection: "versions", Key: "res_x/1"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"format":1,"from":"0102030405060708","to":"1112131415161718","begun_at":"2026-08-01T12:00:00Z","total":9,"done":4,"pass":1,"collection":"versions","key":"res_x/1"}`
	if string(b) != want {
		t.Errorf("the state is\n%s\nnot\n%s", b, want)
	}
}
