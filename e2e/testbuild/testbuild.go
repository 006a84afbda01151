// Package testbuild builds the programs under test for the packages of e2e, each of which tests what it built itself.
package testbuild

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Run builds packages, with whatever flags of go build go before them, into a directory that it makes, and says in dir where that is. It runs the tests, takes
// the directory away, and returns the exit code.
func Run(m *testing.M, dir *string, packages ...string) int {
	made, err := os.MkdirTemp("", "ropeway-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(made)
	build := exec.Command("go", append([]string{"build", "-o", made + "/"}, packages...)...)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the programs:", err)
		return 1
	}
	*dir = made
	return m.Run()
}
