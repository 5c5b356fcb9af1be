package postgres

import "github.com/zavhoz/zavhoz/store"

// validCollection tells whether c is ^[a-z][a-z0-9_]{0,31}$.
func validCollection(c store.Collection) bool {
	if len(c) == 0 || len(c) > 32 || c[0] < 'a' || c[0] > 'z' {
		return false
	}
	for i := 1; i < len(c); i++ {
		if b := c[i]; (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '_' {
			return false
		}
	}
	return true
}

// validKey holds a key to the contract's limits.
func validKey(c store.Collection, key string) error {
	switch {
	case !validCollection(c) || key == "":
		return store.ErrInvalidKey
	case len(key) > store.MaxKey:
		return store.ErrTooLarge
	}
	return nil
}
