package frr_test

import (
	"testing"

	"ropeway/internal/bgp"
	"ropeway/internal/bgp/bgptest"
	"ropeway/internal/bgp/frr"
)

// TestDaemon holds FRR against what any routing daemon has to do.
func TestDaemon(t *testing.T) {
	bgptest.Run(t, func(dir string) bgp.Daemon { return frr.New(frr.Options{Dir: dir}) })
}
