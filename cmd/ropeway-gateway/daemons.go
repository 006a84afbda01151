package main

import (
	"path/filepath"

	"ropeway/internal/bgp"
	"ropeway/internal/bgp/bird"
	"ropeway/internal/bgp/frr"
	"ropeway/internal/fabric"
)

// daemonsIn returns the routing daemons that this program can run, each with its files in a directory below the agent's run directory.
func daemonsIn(run string) map[fabric.Daemon]bgp.Daemon {
	return map[fabric.Daemon]bgp.Daemon{
		fabric.FRR:  frr.New(frr.Options{Dir: filepath.Join(run, "frr")}),
		fabric.BIRD: bird.New(bird.Options{Dir: filepath.Join(run, "bird")}),
	}
}
