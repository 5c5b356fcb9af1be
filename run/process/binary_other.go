//go:build !linux

package process

import "os"

// prepare looks once more, as late as this system allows: there is no way to execute a descriptor here.
func (b *Binary) prepare(argv []string, files []*os.File) (string, []string, []*os.File, error) {
	for _, x := range []*Binary{b, b.interp} {
		if x == nil {
			continue
		}
		opened, err := x.file.Stat()
		if err != nil {
			return "", nil, nil, err
		}
		now, err := os.Stat(x.path)
		if err != nil || !os.SameFile(opened, now) || !opened.ModTime().Equal(now.ModTime()) || opened.Size() != now.Size() {
			return "", nil, nil, missing(x.path, err)
		}
	}
	return b.path, argv, files, nil
}

// sealable: no memory files here; the look in prepare has to do.
func sealable(string) (*os.File, error) { return nil, nil }

func seal(f *os.File) (*os.File, error) { return f, nil }

func busy(error) bool { return false }
