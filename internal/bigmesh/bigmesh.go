// Package bigmesh is the fabrics that the project's promises are measured with. It is for benchmarks.
package bigmesh

import (
	"fmt"
	"net/netip"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/prefixes"
)

// New returns a mesh of n places with one gateway and ten prefixes each, where everything may talk to everything: with n = 1,000 about
// ten million routes, and as many allowed prefixes.
func New(n int) *intent.Fabric {
	in := &intent.Fabric{
		Name: "big", Topology: fabric.Mesh,
		Pools: intent.Pools{Links4: netip.MustParsePrefix("100.64.0.0/16")},
	}
	var all []netip.Prefix
	for i := range n {
		p := &intent.Place{Name: fmt.Sprintf("p%04d", i), Kind: fabric.Region, UnderlayMTU: 1500}
		for j := range 10 {
			k := i*10 + j
			bits := 24 + j%5 // lengths differ, as they do in the field
			p.Prefixes = append(p.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(k >> 8), byte(k), 0}), bits))
		}
		gw := &intent.Gateway{Name: fmt.Sprintf("g%04d", i), Place: p, Port: fabric.DefaultPort}
		gw.Endpoint = fabric.Endpoint{Host: fmt.Sprintf("198.18.%d.%d", i>>8, i&255), Port: fabric.DefaultPort}
		p.Gateways = []*intent.Gateway{gw}
		in.Places = append(in.Places, p)
		all = append(all, p.Prefixes...)
	}
	everything := intent.Selector{Text: "any", Prefixes: prefixes.Normal(all)}
	in.Access = []intent.Access{{From: everything, To: everything}}
	return in
}

// Spokes returns n places with two gateways and ten prefixes each, of which the first two are hubs of the others. Gateways speak BGP, and everything may talk to everything: with
// n = 500 about 24 million allowed prefixes over 3,988 links.
func Spokes(n int) *intent.Fabric {
	in := New(n)
	in.Topology, in.Routing = fabric.HubAndSpoke, intent.Routing{Mode: fabric.BGP, Daemon: fabric.FRR, BFD: intent.BFD{Interval: 300, Multiplier: 3}, Tunnels: 1}
	for i, p := range in.Places {
		second := *p.Gateways[0]
		second.Name += "-b"
		second.Endpoint.Host = fmt.Sprintf("198.19.%d.%d", i>>8, i&255)
		p.Gateways = append(p.Gateways, &second)
		if p.Hub = i < 2; !p.Hub {
			p.Hubs = in.Places[:2]
		}
	}
	return in
}
