package rotate

import (
	"context"
	"crypto/x509"
	"net/netip"
	"strings"

	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Job is one rotation at work: what a Method may look at. Nothing of it is kept beyond a call.
type Job struct {
	Resource vault.Resource // as it is now
	Rotation vault.Rotation // zero while the new credential is being made
	old      vault.Resource // the version that holds the old credential; zero where a person purged it
	t        *Rotator
	remarks  []string
}

// Old opens a field of the old credential; zero where there is none. The caller wipes it.
func (j *Job) Old(field string) (secret.Secret, error) {
	s, ok := j.old.Sealed[field]
	if !ok {
		return secret.Secret{}, nil
	}
	return j.t.o.Opener.Open(j.old.FieldRef(field), s.Value)
}

// New opens a field of the new credential; zero where there is none. The caller wipes it.
func (j *Job) New(field string) (secret.Secret, error) {
	s, ok := j.Rotation.Sealed[field]
	if !ok {
		return secret.Secret{}, nil
	}
	return j.t.o.Opener.Open(j.Rotation.FieldRef(field), s.Value)
}

// Remark tells the person something that is no failure. It holds no value.
func (j *Job) Remark(sentence string) { j.remarks = append(j.remarks, sentence) }

// do runs one function of a method, and stands still at a point that tests know.
func (j *Job) do(ctx context.Context, point string, f func(context.Context, *Job) error) error {
	if f != nil {
		if err := f(ctx, j); err != nil {
			return err
		}
	}
	j.t.at(point)
	return nil
}

func (j *Job) state(ended string) State {
	s := State{Handle: j.Resource.Handle, Resource: j.Resource.ID, Version: j.Resource.Version, Ended: ended, Remarks: j.remarks}
	x := j.Rotation
	s.Rotation = &x
	return s
}

// reach is how a resource's hosts are dialled and known, as its policy says.
func reach(r vault.Resource) (egress.Resource, error) {
	out := egress.Resource{Handle: r.Handle, ID: r.ID, Private: r.Policy.Private, Resolve: map[string]netip.Addr{}}
	for _, line := range r.Policy.Resolve {
		name, text, _ := strings.Cut(line, "=")
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return out, broken(r.Handle, err)
		}
		out.Resolve[name] = addr
	}
	if r.Policy.UpstreamCA != "" {
		out.Roots = x509.NewCertPool()
		if !out.Roots.AppendCertsFromPEM([]byte(r.Policy.UpstreamCA)) {
			return out, broken(r.Handle, nil)
		}
	}
	return out, nil
}

func broken(handle string, cause error) error {
	return fault.New(fault.RecordTampered, "the policy of "+handle+" cannot be read", "a person sets it again: zavhoz resource policy "+handle).Because(cause)
}

func dialer(r vault.Resource) (Dial, error) {
	e, err := reach(r)
	return e.Dialer(), err
}
