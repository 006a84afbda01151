// Package bgptest is what any routing daemon has to pass. It runs real daemons, each in a network namespace with cables for tunnels, and holds what they
// tell each other, choose and put into the kernel against what plan.BGP says of it.
package bgptest

import (
	"os/exec"
	"testing"

	"ropeway/internal/bgp"
)

// Run tries the daemons that open makes. Each gets a directory of its own, which any user may enter and which is not there yet; its path is short enough for sockets in it.
func Run(t *testing.T, open func(dir string) bgp.Daemon) {
	for _, part := range []struct {
		name string
		try  func(*world)
	}{
		{"Sessions", sessions},
		{"Untouched", untouched},
		{"Refusals", refusals},
		{"Preferences", preferences},
		{"Drain", drain},
		{"Tell", tell},
		{"Router", router},
		{"Communities", communities},
		{"RouterOnLink", routerOnLink},
		{"RouterMisses", routerMisses},
		{"Password", password},
		{"Crash", crash},
		{"Loss", loss},
		{"Siblings", siblings},
		{"Stop", stop},
	} {
		t.Run(part.name, func(t *testing.T) { part.try(newWorld(t, open)) })
	}
}

// needs skips a test where a program is missing that plays somebody else's part.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("needs %s", program)
	}
}
