package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

// maxInput bounds what is read from a file or standard input, in bytes.
const maxInput = 1 << 20

// errArgv refuses a value in argv without repeating it.
var errArgv = fault.New(fault.SecretInArgv, "a secret value never comes in an argument: other programs can read it there",
	"pipe it in with NAME=- or give a file with NAME=@FILE; and change the secret that you just typed, if you did")

// fields reads what the flags name. It refuses a value in argv without repeating it.
func (a *app) fields(f fieldFlags) (*fields, error) {
	out := &fields{secrets: map[string]secret.Secret{}, project: f.project, why: f.why}
	var err error
	if out.attrs, err = keyValues("--set", f.set); err != nil {
		return nil, err
	}
	if out.labels, err = keyValues("--label", f.labels); err != nil {
		return nil, err
	}
	stdin := 0
	for _, s := range f.secrets {
		name, from, ok := strings.Cut(s, "=")
		if !ok || from != "-" && !strings.HasPrefix(from, "@") {
			out.wipe()
			return nil, errArgv
		}
		if from == "-" {
			stdin++
		}
		b, err := a.readFrom(from)
		if err != nil {
			out.wipe()
			return nil, err
		}
		out.secrets[name] = secret.New(b)
	}
	if f.secretsFrom != "" {
		if f.secretsFrom == "-" {
			stdin++
		}
		if err := a.secretsObject(f.secretsFrom, out.secrets); err != nil {
			out.wipe()
			return nil, err
		}
	}
	if stdin > 1 {
		out.wipe()
		return nil, fault.New(fault.InvalidArgument, "standard input can be read for one value only", "give several at once with --secrets - as a JSON object")
	}
	return out, nil
}

// readFrom reads "-" (standard input) or "@FILE".
func (a *app) readFrom(from string) ([]byte, error) {
	var r io.Reader = a.stdin
	if name, ok := strings.CutPrefix(from, "@"); ok {
		f, err := os.Open(name)
		if err != nil {
			text := "a file given with @ cannot be read"
			if errors.Is(err, os.ErrNotExist) {
				text = "a file given with @ does not exist"
			}
			return nil, fault.New(fault.InvalidArgument, text, "check its name").Because(err)
		}
		defer f.Close()
		r = f
	} else if from != "-" {
		return nil, errArgv
	}
	b, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil || len(b) > maxInput {
		clear(b)
		return nil, fault.New(fault.TooLarge, "the input cannot be read, or is larger than 1 MiB", "").Because(err)
	}
	return b, nil
}

// secretsObject reads a JSON object of string values.
func (a *app) secretsObject(from string, into map[string]secret.Secret) error {
	b, err := a.readFrom(from)
	if err != nil {
		return err
	}
	defer clear(b)
	var m map[string]api.Value
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&m); err != nil || dec.More() {
		return fault.New(fault.InvalidArgument, "--secrets takes one JSON object whose values are strings", `for example: {"key":"…"}`)
	}
	for name, v := range m {
		into[name] = v.Secret
	}
	return nil
}

// keyValues reads name=value flags.
func keyValues(flag string, list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	m := map[string]string{}
	for _, s := range list {
		k, v, ok := strings.Cut(s, "=")
		if _, twice := m[k]; !ok || k == "" || twice {
			return nil, fault.New(fault.InvalidArgument, flag+" takes name=value, each name once", "")
		}
		m[k] = v
	}
	return m, nil
}
