package main

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/unlock"
)

// opener is what a command that needs no daemon opens a vault with.
type opener struct {
	identities []string // files; none: where unlock: in the home's configuration says
	vaultWord  string   // --passphrase-from
	word       string   // --operator-passphrase-from
}

// check refuses flags that want the same input.
func (o opener) check() error {
	if o.vaultWord != "" && o.vaultWord == o.word && o.word != "ask" && !strings.HasPrefix(o.word, "@") {
		return fault.New(fault.InvalidArgument, "both passphrases cannot come from the same input", "give one of them in a file")
	}
	return nil
}

// register adds the flags; usage is that of --identity.
func (o *opener) register(c *cobra.Command, usage string) {
	c.Flags().StringArrayVar(&o.identities, "identity", nil, usage)
	registerPassphrase(c, &o.vaultWord, "the vault's own passphrase, where a slot is one")
	registerOperator(c, &o.word, "the operator's passphrase, where the vault has one")
}

// unlockOffline opens the vault of a header as o says.
func (a *app) unlockOffline(ctx context.Context, dir home.Dir, header []byte, o opener) (*keyring.Keyring, error) {
	if len(o.identities) == 0 && o.vaultWord == "" {
		return a.unlockByConfig(ctx, dir, header)
	}
	keys, err := a.loadKeys(ctx, o.identities)
	if err != nil {
		return nil, err
	}
	return a.unlockWith(ctx, &keys, header, o.vaultWord)
}

// unlockByConfig goes through the sources that the daemon would, and asks who sits at the terminal.
func (a *app) unlockByConfig(ctx context.Context, dir home.Dir, header []byte) (*keyring.Keyring, error) {
	cfg, err := home.LoadConfig(dir.Config())
	if err != nil {
		return nil, err
	}
	ask := a.asks(ctx)
	k, _, err := unlock.Options{
		Order: cfg.Unlock.Sources, File: dir.Identity(), Credentials: os.Getenv(credentialsVariable), Keyring: systemKeyring{person: ask != nil}, Plugins: a.plugins(ctx), Ask: ask,
	}.Unlock(ctx, header)
	switch fault.CodeOf(err) {
	case fault.VaultLocked:
		return nil, fault.Of(err).WithNext("run the command on a terminal of your own, or give --passphrase-from @FILE or --identity FILE")
	case fault.WrongIdentity, fault.NotInitialized, fault.SecretMissing:
		return nil, fault.Of(err).WithNext("give --identity FILE: the recovery identity opens it as well")
	}
	return k, err
}

// unlockWith opens a vault with the identities that were given, or where a slot is a passphrase, with that: one that was given, or one that is asked for.
func (a *app) unlockWith(ctx context.Context, keys *identities, header []byte, from string) (*keyring.Keyring, error) {
	if from != "" {
		return a.unlockByWord(ctx, header, from)
	}
	k, err := keys.unlock(header)
	if fault.CodeOf(err) != fault.WrongIdentity || !opensByWord(header) {
		return k, err
	}
	tty, done, ok := a.terminal()
	if !ok {
		return nil, fault.Of(err).WithNext("a passphrase opens the vault: run the command on a terminal of your own, or say where it is: --passphrase-from @FILE")
	}
	defer done()
	for try := 1; ; try++ {
		word, err := a.askSecret(ctx, tty, "Passphrase of the vault: ")
		if err != nil {
			return nil, err
		}
		k, err = byWord(header, word)
		if fault.CodeOf(err) != fault.WrongIdentity || try == 3 {
			return k, err
		}
		a.hint("That is not it.")
	}
}

func (a *app) unlockByWord(ctx context.Context, header []byte, from string) (*keyring.Keyring, error) {
	word, err := a.passphrase(from, a.askPassphrase(ctx, "Passphrase of the vault: "))
	if err != nil {
		return nil, err
	}
	return byWord(header, word)
}

// byWord opens a vault with a passphrase, and wipes that.
func byWord(header []byte, word secret.Secret) (*keyring.Keyring, error) {
	defer word.Wipe()
	if word.IsZero() {
		return nil, fault.New(fault.SecretMissing, "the vault's passphrase is empty", "")
	}
	return unlock.Given{Passphrase: word}.Unlock(header, nil)
}

// opensByWord tells whether a slot is a passphrase.
func opensByWord(header []byte) bool {
	slots, err := keyring.Slots(header)
	return err == nil && slices.ContainsFunc(slots, func(s keyring.Slot) bool { return s.Type == slotOfWord })
}

// slotOfWord is the type of a slot that is a passphrase.
const slotOfWord = "scrypt"
