package sops

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

const keySize = 32

// unwrap gives the data key of a file. With key groups it takes a share of each that opens, and the helper puts them together.
func (t *talk) unwrap(i wire.Info, ids []age.Identity) (secret.Secret, error) {
	if len(i.Groups) == 1 {
		key, err := unwrapGroup(i.Groups[0], ids)
		if err == nil && key.Len() != keySize {
			key.Wipe()
			err = t.refused(wire.Fail{Code: wire.FailValue})
		}
		return key, t.noKey(err)
	}
	need := i.Threshold
	if need == 0 {
		need = len(i.Groups)
	}
	var shares wire.Shares
	defer func() { shares.Wipe() }()
	for _, g := range i.Groups {
		share, err := unwrapGroup(g, ids)
		if err == nil {
			shares = append(shares, share)
		}
		if len(shares) == need {
			break
		}
	}
	if len(shares) < need || need < 2 {
		return secret.Secret{}, t.noKey(errNoKey).(*fault.Error).With("key_groups", len(shares)).With("needed", need)
	}
	return ask(t, wire.OpCombine, shares.Encode(), wire.DecodeKey)
}

var errNoKey = errors.New("sops: no identity opens the data key")

func (t *talk) noKey(err error) error {
	if err == nil || !errors.Is(err, errNoKey) {
		return err
	}
	return fault.New(fault.WrongIdentity, "no identity of this vault opens "+t.file(), "add this vault's recipient to the file with `sops updatekeys`, or give the identity that it was made for").Because(err)
}

// unwrapGroup tries each age key of a group.
func unwrapGroup(keys []wire.Key, ids []age.Identity) (secret.Secret, error) {
	if len(ids) == 0 {
		return secret.Secret{}, errNoKey
	}
	for _, k := range keys {
		if k.Type != "age" {
			continue
		}
		plain, err := age.Decrypt(armor.NewReader(strings.NewReader(k.Enc)), ids...)
		if err != nil {
			continue
		}
		raw := make([]byte, 2*keySize)
		n, err := io.ReadFull(plain, raw)
		if errors.Is(err, io.ErrUnexpectedEOF) && n > 0 {
			return secret.New(raw[:n]), nil
		}
		clear(raw)
	}
	return secret.Secret{}, errNoKey
}

// wrapKey makes the armored age file that SOPS keeps for one recipient.
func (c *Codec) wrapKey(key secret.Secret, recipient string) (wire.Key, error) {
	to, err := c.recipient(recipient)
	if err != nil {
		return wire.Key{}, err
	}
	var b bytes.Buffer
	a := armor.NewWriter(&b)
	w, err := age.Encrypt(a, to)
	if err == nil {
		_, err = w.Write(key.Reveal())
	}
	if err == nil {
		err = errors.Join(w.Close(), a.Close())
	}
	if err != nil {
		return wire.Key{}, fault.New(fault.InvalidArgument, "a recipient does not take the data key", "check the recipients").Because(err)
	}
	return wire.Key{Type: "age", Name: recipient, Enc: b.String()}, nil
}

// recipient reads age's own recipients and ssh keys; others go to Options.Recipient.
func (c *Codec) recipient(text string) (age.Recipient, error) {
	if strings.HasPrefix(text, "ssh-") {
		if r, err := agessh.ParseRecipient(text); err == nil {
			return r, nil
		}
	} else if rs, err := age.ParseRecipients(strings.NewReader(text)); err == nil && len(rs) == 1 && !strings.ContainsAny(text, "\r\n#") {
		return rs[0], nil
	}
	if c.o.Recipient != nil && strings.HasPrefix(text, "age1") {
		if r, err := c.o.Recipient(text); err == nil {
			return r, nil
		}
	}
	// The text is not repeated: what was given in its place may be an identity.
	return nil, fault.New(fault.InvalidArgument, "a recipient is not an age recipient (age1…) or an ssh public key that this zavhoz can wrap for", "`age-keygen -y` shows the recipient of an identity")
}

// wrapAll wraps a data key for all recipients, or a share of it for each group.
func (c *Codec) wrapAll(t *talk, key secret.Secret, groups [][]string, threshold int) (out [][]wire.Key, err error) {
	shares := wire.Shares{key}
	if len(groups) > 1 {
		if threshold == 0 {
			threshold = len(groups)
		}
		if shares, err = ask(t, wire.OpSplit, wire.SplitRequest{Key: key, Parts: len(groups), Threshold: threshold}.Encode(), wire.DecodeShares); err != nil {
			return nil, err
		}
		defer shares.Wipe()
		if len(shares) != len(groups) {
			return nil, broken(wire.ErrBody)
		}
	}
	for i, g := range groups {
		var keys []wire.Key
		for _, r := range g {
			k, err := c.wrapKey(shares[i], r)
			if err != nil {
				return nil, err
			}
			keys = append(keys, k)
		}
		if len(keys) == 0 {
			return nil, fault.New(fault.InvalidArgument, "a SOPS file has at least one recipient in each key group", "give a recipient")
		}
		out = append(out, keys)
	}
	if len(out) == 0 {
		return nil, fault.New(fault.InvalidArgument, "a SOPS file has at least one recipient", "give a recipient")
	}
	return out, nil
}

func newKey() (secret.Secret, error) {
	b := make([]byte, keySize)
	if _, err := rand.Read(b); err != nil {
		return secret.Secret{}, fault.Of(err)
	}
	return secret.New(b), nil
}

// names lists the age recipients of groups; foreign tells whether there are keys of another kind.
func names(groups [][]wire.Key) (out [][]string, foreign bool) {
	for _, g := range groups {
		var list []string
		for _, k := range g {
			if k.Type != "age" {
				foreign = true
				continue
			}
			list = append(list, k.Name)
		}
		out = append(out, list)
	}
	return out, foreign
}

// Rotate gives the file encrypted anew under a new data key, for the recipients that it has. Keys of other kinds: fault not_supported.
func (c *Codec) Rotate(ctx context.Context, name string, file []byte, ids []age.Identity) (out []byte, err error) {
	err = c.with(ctx, func(t *talk) error {
		i, err := t.inspect(name, file)
		if err != nil {
			return err
		}
		groups, others := names(i.Groups)
		if others {
			return foreign(t.file())
		}
		old, err := t.unwrap(i, ids)
		if err != nil {
			return err
		}
		defer old.Wipe()
		key, err := newKey()
		if err != nil {
			return err
		}
		defer key.Wipe()
		wrapped, err := c.wrapAll(t, key, groups, i.Threshold)
		if err != nil {
			return err
		}
		out, err = ask(t, wire.OpRotate, wire.RotateRequest{Key: old, New: key, Groups: wrapped, Threshold: i.Threshold}.Encode(), wire.DecodeFile)
		return err
	})
	return out, err
}

// UpdateKeys gives the file for other age recipients, its values as they are: who had the data key still has it (see Rotate). Keys of other kinds stay
// in a file of one group; with key groups they stand in the way: fault not_supported.
func (c *Codec) UpdateKeys(ctx context.Context, name string, file []byte, ids []age.Identity, groups [][]string, threshold int) (out []byte, err error) {
	err = c.with(ctx, func(t *talk) error {
		i, err := t.inspect(name, file)
		if err != nil {
			return err
		}
		_, others := names(i.Groups)
		if others && (len(i.Groups) > 1 || len(groups) > 1) {
			return foreign(t.file())
		}
		key, err := t.unwrap(i, ids)
		if err != nil {
			return err
		}
		defer key.Wipe()
		// Before new keys are given for values, these are verified.
		tree, err := ask(t, wire.OpOpen, wire.EncodeKey(key), wire.DecodeTree)
		tree.Wipe()
		if err != nil {
			return err
		}
		wrapped, err := c.wrapAll(t, key, groups, threshold)
		if err != nil {
			return err
		}
		if len(groups) == 1 {
			threshold = 0
			for _, k := range i.Groups[0] {
				if k.Type != "age" {
					wrapped[0] = append(wrapped[0], wire.Key{Type: k.Type, Name: k.Name})
				}
			}
		}
		if _, err := t.inspect(name, file); err != nil {
			return err
		}
		out, err = ask(t, wire.OpRewrap, wire.RewrapRequest{Groups: wrapped, Threshold: threshold}.Encode(), wire.DecodeFile)
		return err
	})
	return out, err
}
