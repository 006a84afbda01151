package main

import (
	"ropeway/internal/bgp"
	"ropeway/internal/fabric"
)

// daemonsIn returns the routing daemons that this program can run, each with its files below a run directory.
func daemonsIn(run string) map[fabric.Daemon]bgp.Daemon {
	_ = run
	return map[fabric.Daemon]bgp.Daemon{}
}
