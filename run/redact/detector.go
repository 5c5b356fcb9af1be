package redact

// Detector placeholder.
type Detector struct{}

func (d *Detector) learn(string, []byte) {}
