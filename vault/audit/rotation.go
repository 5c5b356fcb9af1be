package audit

// The steps of the rotation of one resource's credential, a record each (vault.Rotation). The one that ends an overlap is zavhoz's own, by the actor "rotation".
const (
	RotationBegin   Action = "rotation.begin"   // the new credential is sealed, or what it will be known by is on record; nothing has changed elsewhere
	RotationInstall Action = "rotation.install" // the new one is where it belongs
	RotationProve   Action = "rotation.prove"   // the new one works
	RotationSwitch  Action = "rotation.switch"  // the resource has the new one
	RotationRetire  Action = "rotation.retire"  // the old one is gone: the rotation has ended
	RotationUndo    Action = "rotation.undo"    // a person gave it up; the resource has the old one
	RotationAbort   Action = "rotation.abort"   // the new one is gone: the rotation has ended
)
