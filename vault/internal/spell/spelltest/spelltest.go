// Package spelltest holds encoders that are written by hand against encoding/json.
//
// Promise: an encoder that leaves out a field, names it otherwise or writes any value of it as encoding/json would not, fails: every field of the type gets
// values of every sort that its own type has, empty ones, texts that need escapes and times that JSON cannot say among them.
package spelltest

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// rounds is how many random values an encoder is held to.
const rounds = 3000

// Hold fails unless spell appends what encoding/json writes of a T; bare: without escapes for HTML.
func Hold[T any](t *testing.T, bare bool, spell func([]byte, *T) ([]byte, error)) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for range rounds {
		var v T
		fill(random, reflect.ValueOf(&v).Elem())
		want, refused := marshal(v, bare)
		got, err := spell([]byte("before"), &v)
		if (err != nil) != (refused != nil) {
			t.Fatalf("%+v: %v, and encoding/json says %v", v, err, refused)
		}
		if err == nil && string(got) != "before"+string(want) {
			t.Fatalf("%+v is spelled\n%s\nand not\n%s", v, got, want)
		}
	}
}

func marshal(v any, bare bool) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(!bare)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

var (
	texts = []string{"", "a", "prod_vps_1", "two words", `"`, `\`, "<b>&", "\x00\x1f\x7f", "\n\t", "é", "\u2028", "\xff", "zvh1:AQID-_", "secrets", "env_hints"}
	times = []time.Time{
		{}, time.Unix(0, 0).UTC(), time.Date(2026, 8, 1, 12, 0, 0, 5000, time.UTC), time.Date(2026, 8, 1, 12, 0, 0, 120_000_000, time.FixedZone("", 5400)),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
	}
	unsayable = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	raws      = []json.RawMessage{nil, json.RawMessage(`{"a": [1, "<"]}`), json.RawMessage(`"x"`), json.RawMessage("null")}
)

// fill gives v a random value.
func fill(r *rand.Rand, v reflect.Value) {
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		if *p = times[r.IntN(len(times))]; r.IntN(200) == 0 {
			*p = unsayable
		}
		return
	case *json.RawMessage:
		if *p = raws[r.IntN(len(raws))]; r.IntN(200) == 0 {
			*p = json.RawMessage("{")
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(texts[r.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int:
		v.SetInt(r.Int64() >> r.IntN(64) * int64(r.IntN(3)-1))
	case reflect.Uint64:
		v.SetUint(r.Uint64() >> r.IntN(64) * uint64(r.IntN(2)))
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" && r.IntN(4) > 0 {
				fill(r, v.Field(i))
			}
		}
	case reflect.Slice:
		for range r.IntN(3) {
			x := reflect.New(v.Type().Elem()).Elem()
			fill(r, x)
			v.Set(reflect.Append(v, x))
		}
	case reflect.Map:
		if r.IntN(3) == 0 {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(20) {
			k, x := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(r, k)
			fill(r, x)
			v.SetMapIndex(k, x)
		}
	default:
		panic("spelltest: a " + v.Type().String() + " has no random value yet")
	}
}
