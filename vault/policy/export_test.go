package policy

// ParsePin checks an argv template whole, as what a person gave after `--pin NAME --`.
func ParsePin(name string, argv []string) (Pin, error) {
	p := Pin{Name: name, Argv: argv}
	return p, p.Validate()
}

// Wider gives the JSON names of the fields in which fresh allows what old did not.
func Wider(old, fresh Policy) (names []string) {
	for _, a := range aspects {
		if a.wider(old, fresh) {
			names = append(names, a.name)
		}
	}
	return names
}

// Compared gives the JSON names of the fields that Widens looks at, in its order.
func Compared() (names []string) {
	for _, a := range aspects {
		names = append(names, a.name)
	}
	return names
}
