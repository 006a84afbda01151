//go:build !failpoint

package agent

// failpoint is where a test build can be made to die; see failpoint_on.go.
func failpoint(string) {}
