//go:build !linux

package deliver

import (
	"fmt"
	"os"
)

// file writes the value into the run's private folder. It is overwritten and removed by Close.
func (p *Parcel) file(o Options, it Item) (string, error) {
	f, err := os.CreateTemp(o.Home, ".zavhoz-")
	if err != nil {
		return "", fmt.Errorf("deliver: file: %w", err)
	}
	path, size := f.Name(), it.Value.Len()
	p.clean = append(p.clean, func() {
		_ = os.WriteFile(path, make([]byte, size), 0o600)
		_ = os.Remove(path)
	})
	_, err = f.Write(it.Value.Reveal())
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("deliver: file: %w", err)
	}
	return path, nil
}
