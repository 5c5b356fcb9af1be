//go:build linux || darwin

package sandbox

// enter counts a box in: Close ends it.
func (s *Sandbox) enter(b *Box) {
	s.mu.Lock()
	s.boxes[b] = true
	s.mu.Unlock()
}

// forget counts it out.
func (s *Sandbox) forget(b *Box) {
	s.mu.Lock()
	delete(s.boxes, b)
	s.mu.Unlock()
}

// closeBoxes ends every box and gives the first error.
func (s *Sandbox) closeBoxes() (first error) {
	s.mu.Lock()
	var boxes []*Box
	for b := range s.boxes {
		boxes = append(boxes, b)
	}
	s.mu.Unlock()
	for _, b := range boxes {
		if err := b.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
