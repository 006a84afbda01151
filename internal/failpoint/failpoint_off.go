//go:build !failpoint

// Package failpoint is where builds for tests (tag failpoint) can be made to die, in the middle of what must survive that.
package failpoint

// After is where a test build can be made to die; see failpoint_on.go.
func After(string) {}
