package sops_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
)

// What is broken, changed, too deep or not SOPS's gets its own clear refusal, which repeats nothing of the file.
func TestHostileFiles(t *testing.T) {
	ctx, c, p := context.Background(), newCodec(t), sopstest.NewPerson(t)
	good := string(read(t, encrypted(t, p, "good.yaml", "a: hunter2hunter2\nb: other-value-here\nc_unencrypted: clear-text\n")))
	line := func(key string) string {
		for l := range strings.Lines(good) {
			if strings.HasPrefix(strings.TrimSpace(l), key+":") {
				return l
			}
		}
		t.Fatalf("no %s", key)
		return ""
	}
	swap := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	for name, x := range map[string]struct {
		file string
		code fault.Code
	}{
		"a.yaml":          {"", fault.InvalidArgument},
		"plain.yaml":      {"a: hunter2hunter2\n", fault.InvalidArgument},
		"list.yaml":       {"- hunter2hunter2\n", fault.InvalidArgument},
		"half.yaml":       {good[:len(good)/2], fault.InvalidArgument},
		"syntax.yaml":     {"a: [hunter2hunter2\n" + good, fault.InvalidArgument},
		"binary.yaml":     {"\x00\x01hunter2", fault.InvalidArgument},
		"utf8.yaml":       {"a: \xff\xfe\n" + good, fault.InvalidArgument},
		"clear.yaml":      {swap("clear-text", "hunter2hunter2"), fault.RecordTampered},
		"moved.yaml":      {swap("a: ENC", "d: ENC"), fault.RecordTampered},
		"removed.yaml":    {swap(line("b"), ""), fault.RecordTampered},
		"reordered.yaml":  {strings.Replace(swap(line("b"), ""), line("a"), line("b")+line("a"), 1), fault.RecordTampered},
		"nomac.yaml":      {swap(line("mac"), ""), fault.RecordTampered},
		"notime.yaml":     {swap(line("lastmodified"), ""), fault.InvalidArgument},
		"time.yaml":       {swap(line("lastmodified"), "    lastmodified: \"2020-01-01T00:00:00Z\"\n"), fault.RecordTampered},
		"regex.yaml":      {swap(line("unencrypted_suffix"), "    unencrypted_regex: \"(\"\n"), fault.InvalidArgument},
		"twice.yaml":      {"a: hunter2hunter2\n" + good, fault.InvalidArgument},
		"anchor.yaml":     {"x: &x hunter2hunter2\ny: *x\n" + good, fault.NotSupported},
		"bomb.yaml":       {good + "---\na: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b]\n", fault.NotSupported},
		"self.yaml":       {good + "---\na: &a [*a]\n", fault.NotSupported},
		"deep.yaml":       {"x: " + strings.Repeat("[", 500) + strings.Repeat("]", 500) + "\n" + good, fault.TooLarge},
		"number.yaml":     {"1: hunter2hunter2\n" + good, fault.InvalidArgument},
		"big.yaml":        {"x: 99999999999999999999999\n" + good, fault.RecordTampered},
		"deep.json":       {`{"x": ` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + "}", fault.TooLarge},
		"twice.json":      {`{"x": 1, "x": 2, "sops": {}}`, fault.InvalidArgument},
		"after.json":      {`{"sops": {}} {"hunter2hunter2": 1}`, fault.InvalidArgument},
		"half.json":       {`{"a": "hunter2hunter2"`, fault.InvalidArgument},
		"list.json":       {`["hunter2hunter2"]`, fault.InvalidArgument},
		"meta.json":       {`{"sops": {"age": [{"recipient": 7, "enc": {}}], "lastmodified": []}}`, fault.InvalidArgument},
		"none.env":        {"A=hunter2hunter2\n", fault.InvalidArgument},
		"line.env":        {"hunter2hunter2\n", fault.InvalidArgument},
		"twice.env":       {"A=1\nA=2\n", fault.InvalidArgument},
		"list.env":        {"sops_age__list_999999999__map_enc=x\nsops_version=1\n", fault.InvalidArgument},
		"none.ini":        {"[a]\nb = hunter2hunter2\n", fault.InvalidArgument},
		"twice.ini":       {"[a]\nb = 1\nb = 2\n", fault.InvalidArgument},
		"broken.ini":      {"[a\nb", fault.InvalidArgument},
		"unknown.zip":     {"PK\x03\x04", fault.InvalidArgument},
		"value.yaml":      {swap(line("a"), "a: ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]\n"), fault.RecordTampered},
		"plainvalue.yaml": {swap(line("a"), "a: hunter2hunter2\n"), fault.RecordTampered},
	} {
		_, tree, err := c.Open(ctx, name, []byte(x.file), ids(p))
		tree.Wipe()
		if fault.CodeOf(err) != x.code {
			t.Errorf("%s: %v, want %s", name, err, x.code)
		} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "clear-text") {
			t.Errorf("%s: the refusal repeats a value: %v", name, err)
		}
	}
	if _, tree, err := c.Open(ctx, "good.yaml", []byte(good), ids(p)); err != nil || at(t, tree, "a") != "hunter2hunter2" {
		t.Fatalf("the good one: %v", err)
	}
	path := filepath.Join(p.Dir, "blob.bin")
	write(t, path, []byte("hunter2hunter2"), 0o600)
	p.Sops(p.Dir, "encrypt", "--in-place", "--age", p.Recipient(), "blob.bin")
	_, _, err := c.Open(ctx, "blob.bin", read(t, path), ids(p))
	wantCode(t, err, fault.NotSupported)
	_, _, err = c.Open(ctx, "huge.yaml", make([]byte, 65<<20), ids(p))
	wantCode(t, err, fault.TooLarge)
}

// A helper that is missing, of another version, silent, babbling, or one that others may change: one clear refusal each, and it ends.
func TestHelperThatIsNone(t *testing.T) {
	dir := t.TempDir()
	program := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		write(t, path, []byte("#!/bin/sh\n"+text+"\n"), mode)
		return path
	}
	for name, x := range map[string]struct {
		path string
		code fault.Code
	}{
		"missing":  {filepath.Join(dir, "nothing"), fault.NotSupported},
		"folder":   {dir, fault.NotSupported},
		"mode":     {program("mode", "exit 0", 0o600), fault.NotSupported},
		"ends":     {program("ends", "exit 0", 0o700), fault.NotSupported},
		"babbles":  {program("babbles", "yes", 0o700), fault.NotSupported},
		"version":  {program("version", `printf '\000\000\000\026\001\000\000\000\000zavhoz-sops wire\011'`, 0o700), fault.NotSupported},
		"silent":   {program("silent", "while :; do :; done", 0o700), fault.TimedOut},
		"writable": {program("writable", "exit 0", 0o722), fault.NotPermitted},
	} {
		c := sops.New(sops.Options{Helper: x.path, Timeout: 2 * time.Second})
		if err := c.Check(context.Background()); fault.CodeOf(err) != x.code || fault.Of(err).Next == "" {
			t.Errorf("%s: %v, want %s", name, err, x.code)
		}
	}
	if err := newCodec(t).Check(context.Background()); err != nil {
		t.Errorf("the true one: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	wantCode(t, newCodec(t).Check(ctx), fault.Canceled)
}
