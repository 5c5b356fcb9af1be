package contract

import "strconv"

// File is a fragment as it came: its path, for people, and its text.
type File struct {
	Path string
	Text []byte
}

// Read parses and merges fragments. A path is told only where it is fit to be shown; others are told by their number.
func Read(files []File) (*Contract, error) {
	if len(files) > MaxFragments {
		p := &problems{}
		p.add(0, "there are more than %d fragments", MaxFragments)
		return nil, p.err()
	}
	all := make([]Fragment, 0, len(files))
	for i, f := range files {
		where := "fragment " + strconv.Itoa(i+1)
		if pathShape.MatchString(f.Path) {
			where = f.Path
		}
		fragment, err := Parse(where, f.Text)
		if err != nil {
			return nil, err
		}
		all = append(all, fragment)
	}
	c, err := Merge(all...)
	if err != nil {
		return nil, err
	}
	return &c, nil
}
