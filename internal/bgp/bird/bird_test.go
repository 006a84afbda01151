package bird

import (
	"testing"

	"ropeway/internal/bgp"
	"ropeway/internal/bgp/bgptest"
)

func TestConformance(t *testing.T) {
	bgptest.Run(t, func(dir string) bgp.Daemon { return New(Options{Dir: dir}) })
}
