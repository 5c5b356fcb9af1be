package api

// Unlock is what unlocks a vault: a slot's passphrase, or an identity file's text; neither: what the daemon finds by itself (unlock: in config.yaml). Where a proof of
// presence is set, all but a slot's passphrase need it, too.
type Unlock struct {
	Passphrase Value `json:"passphrase,omitempty"` // of a slot
	Identity   Value `json:"identity,omitempty"`   // what the file holds
	Word       Value `json:"word,omitempty"`       // that the identity is encrypted with
	Presence   Value `json:"presence,omitempty"`   // the operator's passphrase
}

// Wipe erases it.
func (u Unlock) Wipe() {
	u.Passphrase.Wipe()
	u.Identity.Wipe()
	u.Word.Wipe()
	u.Presence.Wipe()
}

// Lock is the state of the vault's lock.
type Lock struct {
	Locked bool   `json:"locked"`
	By     string `json:"by,omitempty"`   // what unlocked it: file, keyring, credential, passphrase, identity
	Runs   int    `json:"runs,omitempty"` // how many locking ended
}
