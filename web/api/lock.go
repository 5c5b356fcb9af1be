package api

// Unlock is what unlocks a vault: a slot's passphrase, an identity file's text, or what a plugin opened at the person's terminal; none: what the daemon finds by itself (unlock: in
// config.yaml). Where a proof of presence is set, all but a slot's passphrase need it, too.
type Unlock struct {
	Passphrase Value   `json:"passphrase,omitempty"` // of a slot
	Identity   Value   `json:"identity,omitempty"`   // what the file holds
	Word       Value   `json:"word,omitempty"`       // that the identity is encrypted with
	Slot       string  `json:"slot,omitempty"`       // that a plugin opened
	FileKeys   []Value `json:"file_keys,omitempty"`  // of its age files, for each data key: base64
	Presence   Value   `json:"presence,omitempty"`   // the operator's passphrase
	Answer     Value   `json:"answer,omitempty"`     // to the challenge that presence_required brought: base64
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
	for _, k := range u.FileKeys {
		k.Wipe()
	}
}

// Brings tells whether it brings anything at all.
func (u Unlock) Brings() bool {
	return !u.Passphrase.IsZero() || !u.Identity.IsZero() || !u.Word.IsZero() || len(u.FileKeys) > 0 || u.Claims()
}

// Claims tells whether it brings a proof of presence.
func (u Unlock) Claims() bool { return !u.Presence.IsZero() || !u.Answer.IsZero() }

// Unlocking is what plugins would be asked to unlock the vault; nothing where it is unlocked. It is no secret: the vault's file holds it.
type Unlocking struct {
	Locked    bool       `json:"locked"`
	Wrappings []Wrapping `json:"wrappings"`
}

// Wrapping is one data key, wrapped for a plugin's recipient.
type Wrapping struct {
	Key     string   `json:"key"`
	Slot    string   `json:"slot"`
	Stanzas []Stanza `json:"stanzas"` // of its age file
}

// Stanza is one of an age file's header.
type Stanza struct {
	Type string   `json:"type"`
	Args []string `json:"args"`
	Body []byte   `json:"body"`
}

// Lock is the state of the vault's lock.
type Lock struct {
	Locked bool   `json:"locked"`
	By     string `json:"by,omitempty"`     // what unlocked it: file, keyring, credential, passphrase, identity
	Runs   int    `json:"runs,omitempty"`   // how many locking ended
	Untold bool   `json:"untold,omitempty"` // locked here alone: the other daemons of the vault could not be told
}
