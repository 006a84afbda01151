package verify

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"ropeway/internal/fabric"
	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// A speakingFabric is a plan with BGP that is written by hand rather than compiled: everybody believes everything and passes on everything, until a test says otherwise.
type speakingFabric struct {
	*plan.Fabric
	links int
}

// place adds a place with gateways, and AS number 65001 for the first, and so on.
func (f *speakingFabric) place(name string, own []netip.Prefix, gateways ...string) {
	f.Places = append(f.Places, &plan.Place{Name: name, Kind: fabric.Region, Prefixes: own})
	for i, g := range gateways {
		id := netip.AddrFrom4([4]byte{100, 64, byte(len(f.Places)), byte(i)})
		f.Gateways = append(f.Gateways, &plan.Gateway{
			Name: g, Place: name, Firewall: plan.Firewall{Own: own},
			BGP: &plan.BGP{Daemon: fabric.FRR, ASN: 65000 + uint32(len(f.Places)), RouterID: id, Sources: []netip.Addr{id}, Own: own, MaxPaths: 4},
		})
	}
}

var everywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

// join lays a tunnel between two gateways, with a session in IPv4 and, if asked, one in IPv6. It returns the ends of the first session.
func (f *speakingFabric) join(nameA, nameB string, both bool) (near, far *plan.Neighbor) {
	f.links++
	n := f.links
	device := fmt.Sprintf("rw%d", n)
	gateways := [2]*plan.Gateway{f.Gateway(nameA), f.Gateway(nameB)}
	public := func(end int) key.Public { return key.PublicFromBytes([32]byte{byte(n), byte(n >> 8), byte(1 + end)}) }
	port := func(end int) uint16 { return uint16(10000 + 2*n + end) }
	var out [2]*plan.Neighbor
	for end, g := range gateways {
		other := gateways[1-end]
		g.Devices = append(g.Devices, plan.Device{
			Name: device, ListenPort: port(end), MTU: 1440, PublicKey: public(end),
			Peers: []*plan.Peer{{
				Gateway: other.Name, PublicKey: public(1 - end), Endpoint: fabric.Endpoint{Host: "198.51.100.1", Port: port(1 - end)},
				AllowedIPs: everywhere, MTU: 1440, Underlay: 1500, Overhead: 60,
			}},
		})
		for _, base := range []netip.Addr{netip.AddrFrom4([4]byte{169, 254, byte(n >> 7), byte(2 * n)}), netip.MustParseAddr(fmt.Sprintf("fd00:ffff::%x", 2*n))} {
			if base.Is6() && !both {
				continue
			}
			ends := [2]netip.Addr{base, base.Next()}
			x := &plan.Neighbor{
				Name: other.Name, Device: device, Address: ends[1-end], Local: ends[end], ASN: other.BGP.ASN, Tell: plan.TellAll,
				Accept: everywhere, MaxHops: 8, MaxPrefixes: 1000,
			}
			if out[end] == nil {
				out[end] = x
			}
			g.BGP.Neighbors = append(g.BGP.Neighbors, x)
		}
	}
	return out[0], out[1]
}

// router gives a gateway a router of its place as a neighbour.
func (f *speakingFabric) router(gateway, name string, accept ...netip.Prefix) *plan.Neighbor {
	g := f.Gateway(gateway)
	x := &plan.Neighbor{Name: name, Address: netip.MustParseAddr("10.255.0.1"), ASN: 64512, Tell: plan.TellLearnt, Accept: accept, MaxHops: 1, MaxPrefixes: 100}
	g.BGP.Neighbors = append(g.BGP.Neighbors, x)
	return x
}

// sorted puts neighbours in the order that a plan has them in.
func (f *speakingFabric) sorted() *plan.Fabric {
	for _, g := range f.Gateways {
		slices.SortStableFunc(g.BGP.Neighbors, func(a, b *plan.Neighbor) int {
			if a.Name != b.Name {
				return int(a.Name[0]) - int(b.Name[0]) + (len(a.Name)-len(b.Name))*1000
			}
			return a.Address.Compare(b.Address)
		})
	}
	return f.Fabric
}

// randomSpeakers makes a small fabric of any shape, with policies of every kind and, sometimes, sessions that cannot be.
func randomSpeakers(r *rand.Rand) (*plan.Fabric, Facts) {
	f := &speakingFabric{Fabric: &plan.Fabric{Name: "random"}}
	for i := range 2 + r.IntN(4) {
		own := []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", i+1))}
		if r.IntN(3) == 0 {
			own = append(own, netip.MustParsePrefix(fmt.Sprintf("172.16.%d.0/24", i+1)))
		}
		own = append(own, netip.MustParsePrefix(fmt.Sprintf("2001:db8:%d::/48", i+1)))
		names := []string{fmt.Sprintf("g%d-a", i), fmt.Sprintf("g%d-b", i)}[:1+r.IntN(2)]
		f.place(fmt.Sprintf("p%d", i), own, names...)
	}
	for i, a := range f.Gateways {
		for _, b := range f.Gateways[i+1:] {
			if a.Place == b.Place || r.IntN(5) < 2 {
				continue
			}
			for range 1 + max(0, r.IntN(5)-3) {
				f.join(a.Name, b.Name, r.IntN(2) == 0)
			}
		}
	}
	for _, g := range f.Gateways {
		if r.IntN(3) == 0 {
			part, _ := split(g.BGP.Own[0])
			x := f.router(g.Name, pick(r, []string{"core", "core", "other"}), part)
			x.Spoke = r.IntN(2) == 0
			x.Tell = pick(r, []plan.Tell{plan.TellLearnt, plan.TellLearnt, plan.TellAll, plan.TellOwn})
			if r.IntN(2) == 0 {
				x.Announce = &plan.Announce{Prepend: r.IntN(3), NoExport: r.IntN(2) == 0}
			}
		}
		if r.IntN(3) == 0 {
			g.BGP.Tags = []uint32{uint32(1 + r.IntN(3))}
		}
		if r.IntN(5) == 0 { // what it has no right to
			g.BGP.Own = append(slices.Clone(g.BGP.Own), pick(r, f.Places).Prefixes[0])
			slices.SortFunc(g.BGP.Own, netip.Prefix.Compare)
			g.BGP.Own = slices.Compact(g.BGP.Own)
		}
	}
	opinions := r.IntN(3) == 0
	for _, g := range f.Gateways {
		for _, n := range g.BGP.Neighbors {
			if !n.External() {
				randomPolicy(r, f, n, opinions)
			}
		}
	}
	p := f.sorted()
	for range r.IntN(3) {
		spoilSession(r, p)
	}
	facts := randomFacts(r, p)
	if r.IntN(4) == 0 {
		facts.Drained = []string{pick(r, p.Gateways).Name}
	}
	return p, facts
}

func randomPolicy(r *rand.Rand, f *speakingFabric, n *plan.Neighbor, opinions bool) {
	n.Tell = pick(r, []plan.Tell{plan.TellAll, plan.TellAll, plan.TellSpokes, plan.TellOwn})
	n.Spoke = r.IntN(2) == 0
	n.MaxHops = 1 + r.IntN(5)
	if r.IntN(3) == 0 {
		n.Tags = []uint32{uint32(1 + r.IntN(3))}
	}
	if r.IntN(3) == 0 {
		n.Accept = nil
		for _, p := range f.Places {
			if r.IntN(3) > 0 {
				n.Accept = append(n.Accept, p.Prefixes...)
			}
		}
		slices.SortFunc(n.Accept, netip.Prefix.Compare)
	}
	for range r.IntN(4) {
		x := plan.Preference{Metric: r.Uint32N(1000), Hops: r.IntN(4), Tag: r.Uint32N(4)}
		if opinions && r.IntN(3) == 0 {
			x.LocalPreference = pick(r, []uint32{50, 100, 200})
		}
		n.Prefer = append(n.Prefer, x)
	}
	n.Prefer = append(n.Prefer, plan.Preference{Metric: r.Uint32N(1000)})
}

// spoilSession makes a session that cannot come up.
func spoilSession(r *rand.Rand, p *plan.Fabric) {
	g := pick(r, p.Gateways)
	if len(g.BGP.Neighbors) == 0 {
		return
	}
	i := r.IntN(len(g.BGP.Neighbors))
	n := g.BGP.Neighbors[i]
	if n.External() {
		return
	}
	switch r.IntN(4) {
	case 0:
		g.BGP.Neighbors = slices.Delete(g.BGP.Neighbors, i, i+1)
	case 1:
		n.ASN++
	case 2:
		g.Device(n.Device).Peers[0].AllowedIPs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	case 3:
		g.Device(n.Device).Peers[0].Endpoint.Port, p.Gateway(n.Name).Device(n.Device).Peers[0].Endpoint.Port = 1, 1
	}
}
