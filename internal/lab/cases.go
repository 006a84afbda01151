package lab

import (
	"cmp"
	"net/netip"
	"slices"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/lab/world"
	"ropeway/internal/plan"
)

// echoPort is where a responder answers whatever the file names no port for (RFC 862).
const echoPort = 7

// anyService stands for "every protocol": one of each.
func anyService() []fabric.Service {
	return []fabric.Service{
		{Protocol: fabric.ICMP},
		{Protocol: fabric.TCP, First: echoPort, Last: echoPort},
		{Protocol: fabric.UDP, First: echoPort, Last: echoPort},
	}
}

// ends returns single ports that stand for services: the first and the last of each range, since a bound that is wrong by one is
// the likely error.
func ends(services []fabric.Service) []fabric.Service {
	var out []fabric.Service
	for _, s := range services {
		for _, port := range []uint16{s.First, s.Last} {
			one := fabric.Service{Protocol: s.Protocol, First: port, Last: port}
			if !slices.Contains(out, one) {
				out = append(out, one)
			}
		}
	}
	return out
}

// universe returns every service that a fabric file or a plan tells apart, and one of each protocol that they do not name. Sorted.
func universe(in *intent.Fabric, p *plan.Fabric) []fabric.Service {
	all := anyService()
	for _, g := range p.Gateways {
		for _, r := range g.Firewall.Rules {
			all = append(all, ends(r.Services)...)
		}
	}
	for _, a := range in.Access {
		all = append(all, ends(a.Services)...)
	}
	for _, t := range in.Tests {
		if t.Service != nil {
			all = append(all, ends([]fabric.Service{*t.Service})...)
		}
	}
	slices.SortFunc(all, func(a, b fabric.Service) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.First, b.First))
	})
	return slices.Compact(all)
}

// An addressee is one address of a host.
type addressee struct {
	addr netip.Addr
	host *world.Space
}

// addressees returns the addresses of hosts that lie in a selector.
func addressees(w *world.World, s intent.Selector) []addressee {
	var out []addressee
	for _, h := range w.Of(world.Host) {
		for _, a := range w.Addresses(h.Name) {
			if slices.ContainsFunc(s.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) }) {
				out = append(out, addressee{a, h})
			}
		}
	}
	return out
}

// pairs returns the pairs of addresses that a statement about two selectors ranges over: of one family, in different places.
func pairs(w *world.World, from, to intent.Selector) [][2]netip.Addr {
	var out [][2]netip.Addr
	destinations := addressees(w, to)
	for _, a := range addressees(w, from) {
		for _, b := range destinations {
			if a.host.Place != b.host.Place && a.addr.Is4() == b.addr.Is4() {
				out = append(out, [2]netip.Addr{a.addr, b.addr})
			}
		}
	}
	return out
}

// testServices returns what is sent for a test: the service it names; else all there are.
func testServices(all []fabric.Service, t intent.Test) []fabric.Service {
	if t.Service != nil {
		return ends([]fabric.Service{*t.Service})
	}
	return all
}

// flows returns what has to be sent to hear of every access entry, in its direction and against it, and of every test. Each once.
func flows(in *intent.Fabric, w *world.World, all []fabric.Service) []Flow {
	seen := map[Flow]bool{}
	var out []Flow
	add := func(from, to netip.Addr, services []fabric.Service) {
		for _, s := range services {
			f := Flow{From: from, To: to, Service: s}
			if !seen[f] {
				seen[f] = true
				out = append(out, f)
			}
		}
	}
	for _, a := range in.Access {
		services := anyService()
		if len(a.Services) > 0 {
			services = ends(a.Services)
		}
		for _, p := range pairs(w, a.From, a.To) {
			add(p[0], p[1], services)
			add(p[1], p[0], services)
		}
	}
	for _, t := range in.Tests {
		for _, p := range pairs(w, t.From, t.To) {
			add(p[0], p[1], testServices(all, t))
		}
	}
	return out
}

// everything returns every service between every two addresses of different places.
func everything(in *intent.Fabric, w *world.World, all []fabric.Service) []Flow {
	var anywhere intent.Selector
	for _, p := range in.Places {
		anywhere.Prefixes = append(anywhere.Prefixes, p.Prefixes...)
	}
	var out []Flow
	for _, p := range pairs(w, anywhere, anywhere) {
		for _, s := range all {
			out = append(out, Flow{From: p[0], To: p[1], Service: s})
		}
	}
	return out
}
