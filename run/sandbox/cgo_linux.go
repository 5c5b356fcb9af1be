//go:build cgo

package sandbox

// withC tells whether a C library may be linked: so it is under the race detector; what is released has none.
const withC = true
