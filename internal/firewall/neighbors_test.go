package firewall

import (
	"testing"

	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// routed is a gateway with a link of both families on rw0, whose sessions BFD watches, one without BFD on rw1, and a router of its place.
func routed() *plan.Gateway {
	g := gateway()
	watched := &plan.BFD{Interval: 300, Multiplier: 3}
	neighbor := func(name, device, far, near string, bfd *plan.BFD) *plan.Neighbor {
		n := &plan.Neighbor{Name: name, Device: device, Address: addr(far), ASN: 64512, Tell: plan.TellOwn, MaxHops: 4, MaxPrefixes: 100, BFD: bfd}
		if near != "" {
			n.Local = addr(near)
		}
		return n
	}
	g.BGP = &plan.BGP{Daemon: fabric.FRR, ASN: 64513, RouterID: addr("192.0.2.2"), MaxPaths: 1, Neighbors: []*plan.Neighbor{
		neighbor("a", "rw0", "203.0.113.5", "192.0.2.2", watched),
		neighbor("a", "rw0", "2001:db8:1::5", "2001:db8::2", watched),
		neighbor("b", "rw1", "192.88.100.5", "192.0.2.3", nil),
		neighbor("router", "", "10.1.0.1", "", watched),
	}}
	return g
}

// TestNeighbors sends what a routing daemon hears, and what it must not, to the gateway's own addresses.
func TestNeighbors(t *testing.T) {
	w := newWorld(t)
	g := routed()
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	w.apply(g)
	w.route("rw0", "203.0.113.0/24", "2001:db8:1::/64")
	w.route("rw1", "192.88.100.0/24")
	port := func(p packet, from uint16) packet { p.sport = from; return p }
	const a, b, a6 = "203.0.113.5", "192.88.100.5", "2001:db8:1::5"
	const ours, oursB, ours6 = "192.0.2.2", "192.0.2.3", "2001:db8::2"
	for _, tt := range []struct {
		what   string
		from   string
		packet packet
		drops  uint64
	}{
		{"BGP", "rw0", tcp(a, ours, 179), 0},
		{"BGP over IPv6", "rw0", tcp(a6, ours6, 179), 0},
		{"BGP of a neighbour without BFD", "rw1", tcp(b, oursB, 179), 0},
		{"BFD", "rw0", port(udp(a, ours, 3784), 49152), 0},
		{"BFD from the last port", "rw0", port(udp(a, ours, 3784), 65535), 0},
		{"BFD from below the dynamic ports, as BIRD sends it on Linux", "rw0", port(udp(a, ours, 3784), 32768), 0},
		{"BFD over IPv6", "rw0", port(udp(a6, ours6, 3784), 50000), 0},
		{"a router of the place is not our matter", "eth0", tcp("10.1.0.1", "192.0.2.1", 179), 0},

		{"BGP over another neighbour's device", "rw1", tcp(a, ours, 179), 1},
		{"BGP from the next address", "rw0", tcp("203.0.113.6", ours, 179), 1},
		{"BGP from the next address over IPv6", "rw0", tcp("2001:db8:1::6", ours6, 179), 1},
		{"BGP to another address of ours", "rw0", tcp(a, oursB, 179), 1},
		{"BGP from the router of the place over a device", "rw0", tcp("10.1.0.1", ours, 179), 1},
		{"BGP from ourselves, as it claims", "rw0", tcp(a6, "2001:db8::3", 179), 1},
		{"another port", "rw0", tcp(a, ours, 22), 1},
		{"179 with its bytes swapped", "rw0", tcp(a, ours, 179<<8), 1},
		{"from port 179 to another port", "rw0", port(tcp(a, ours, 22), 179), 1},
		{"UDP to BGP's port", "rw0", port(udp(a, ours, 179), 50000), 1},
		{"TCP to BFD's port", "rw0", port(tcp(a, ours, 3784), 50000), 1},
		{"BFD of a neighbour without it", "rw1", port(udp(b, oursB, 3784), 50000), 1},
		{"BFD over several hops", "rw0", port(udp(a, ours, 4784), 50000), 1},
		{"the echo port of BFD", "rw0", port(udp(a, ours, 3785), 50000), 1},
		{"BFD from the next address", "rw0", port(udp("203.0.113.6", ours, 3784), 50000), 1},
		{"BFD over another device", "rw1", port(udp(a6, ours6, 3784), 51000), 1},
	} {
		before := w.droppedInput()
		w.send(tt.from, tt.packet)
		w.settle()
		if got := w.droppedInput() - before; got != tt.drops {
			t.Errorf("%s: %s from %s: %d packets dropped, want %d", tt.what, tt.packet, tt.from, got, tt.drops)
		}
	}
	if t.Failed() {
		t.Log(nftRun(t, "list table inet ropeway"))
	}
}

func (w *world) droppedInput() uint64 {
	w.tb.Helper()
	counters, err := w.fw.Counters(w.tb.Context())
	if err != nil {
		w.tb.Fatal(err)
	}
	return counters.Dropped["input"].Packets
}

// TestNeighborsComeAndGo: another neighbour is an element; nothing else of the table is touched. Without any it is that of static routing.
func TestNeighborsComeAndGo(t *testing.T) {
	w := newWorld(t)
	w.apply(gateway())
	static := list(t)
	w.apply(routed())
	fewer := routed()
	fewer.BGP.Neighbors = fewer.BGP.Neighbors[1:]
	w.apply(fewer)
	w.holds(fewer)
	g := routed()
	g.BGP.Neighbors = append(g.BGP.Neighbors, routed().BGP.Neighbors[2])
	last := g.BGP.Neighbors[len(g.BGP.Neighbors)-1]
	last.Name, last.Address = "c", addr("192.88.100.9")
	w.apply(routed())
	if change := w.apply(g); !change.elementsOnly() || len(change.Lines()) != 1 || change.Lines()[0] != "~ set bgp4: 1 elements more, 0 less" {
		t.Errorf("one more neighbour changed %q", change.Lines())
	}
	w.apply(routed())
	w.holds(routed())
	nftText(t, []byte("delete element inet ropeway bgp6 { \"rw0\" . 2001:db8:1::5 . 2001:db8::2 }\nadd element inet ropeway bgp4 { \"rw1\" . 1.2.3.4 . 192.0.2.3 }\n"))
	if change := w.apply(routed()); len(change.Lines()) != 2 || !change.elementsOnly() {
		t.Errorf("what somebody spoilt was mended by %q", change.Lines())
	}
	w.holds(routed())
	w.apply(gateway())
	if got := list(t); got != static {
		t.Errorf("without BGP:\n%s\nwant\n%s", got, static)
	}
}

// holds reads the table as one that nobody remembers, and compares. nft would list a set that went and came again elsewhere.
func (w *world) holds(g *plan.Gateway) {
	w.tb.Helper()
	fw := New()
	defer func() { _ = fw.Close() }()
	have, err := fw.Observe(w.tb.Context())
	if err != nil {
		w.tb.Fatal(err)
	}
	if left := Diff(have, Compile(g)); !left.Empty() {
		w.tb.Errorf("the kernel does not hold what it should: %q", left.Lines())
	}
}
