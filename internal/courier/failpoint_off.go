//go:build !failpoint

package courier

// failpoint is where a test build can be made to die; see failpoint_on.go.
func failpoint(string) {}
