package api

// Unlock is what unlocks a vault: a slot's passphrase, or an identity file's text; neither: what the daemon finds by itself (unlock: in config.yaml). Where a proof of
// presence is set, all but a slot's passphrase need it, too.
type Unlock struct {
	Passphrase Value `json:"passphrase,omitempty"` // of a slot
	Identity   Value `json:"identity,omitempty"`   // what the file holds
	Word       Value `json:"word,omitempty"`       // that the identity is encrypted with
	Presence   Value `json:"presence,omitempty"`   // the operator's passphrase
	Answer     Value `json:"answer,omitempty"`     // to the challenge that presence_required brought: base64
}

// Challenge is what a key that proves presence opens: an age file, and what tells which key.
type Challenge struct {
	By       string `json:"by"`                 // passphrase: there is no file; plugin, keyring
	VaultID  string `json:"vault_id,omitempty"` // keyring: whose key
	Identity string `json:"identity,omitempty"` // plugin: what the plugin is given; no secret
	File     []byte `json:"file,omitempty"`
}

// Wipe erases it.
func (u Unlock) Wipe() {
	u.Passphrase.Wipe()
	u.Identity.Wipe()
	u.Word.Wipe()
	u.Presence.Wipe()
	u.Answer.Wipe()
}

// Lock is the state of the vault's lock.
type Lock struct {
	Locked bool   `json:"locked"`
	By     string `json:"by,omitempty"`   // what unlocked it: file, keyring, credential, passphrase, identity
	Runs   int    `json:"runs,omitempty"` // how many locking ended
}
