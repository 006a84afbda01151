package world

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
)

func nets(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, s := range texts {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func selector(texts ...string) intent.Selector {
	return intent.Selector{Text: strings.Join(texts, ","), Prefixes: nets(texts...)}
}

// three is two regions and a site behind NAT, dual-stack, with a gateway under a DNS name.
func three() *intent.Fabric {
	in := &intent.Fabric{Name: "three", Topology: fabric.Mesh, Pools: intent.Pools{Links4: netip.MustParsePrefix("100.64.0.0/16")}}
	place := func(name string, mtu int, own ...string) *intent.Place {
		p := &intent.Place{Name: name, UnderlayMTU: mtu, Prefixes: nets(own...)}
		in.Places = append(in.Places, p)
		return p
	}
	gateway := func(p *intent.Place, name, host string, nat bool) {
		g := &intent.Gateway{Name: name, Place: p, Port: fabric.DefaultPort, NAT: nat}
		if host != "" {
			g.Endpoint = fabric.Endpoint{Host: host, Port: fabric.DefaultPort}
		}
		p.Gateways = append(p.Gateways, g)
	}
	a := place("use1", 9001, "10.10.0.0/16", "2001:db8:10::/48")
	gateway(a, "use1-a", "203.0.113.10", false)
	gateway(a, "use1-b", "use1-b.example.net", false)
	b := place("euw1", 1500, "10.20.0.0/16")
	gateway(b, "euw1-a", "2001:db8:ffff::1", false)
	hq := place("hq", 1400, "192.168.0.0/24")
	gateway(hq, "hq-1", "", true)
	in.Segments = []intent.Segment{{Name: "prod", Prefixes: nets("10.10.0.0/17", "10.20.0.0/17")}}
	in.Access = []intent.Access{{From: selector("10.10.4.0/24"), To: selector("10.20.0.0/16")}}
	in.Tests = []intent.Test{{From: selector("192.168.0.0/24"), To: selector("10.10.4.5/32")}}
	return in
}

func draw(t *testing.T, in *intent.Fabric) *World {
	t.Helper()
	w, err := Draw(in, &plan.Fabric{Places: []*plan.Place{{Name: "hq", Routes: []*plan.RouterRoute{
		{Gateway: "hq-1", Prefixes: nets("10.10.0.0/16")},
		{Gateway: "gone", Prefixes: nets("10.20.0.0/16")},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestEveryPlaceHasItsMachines(t *testing.T) {
	var names []string
	for _, s := range draw(t, three()).Spaces {
		names = append(names, string(s.Kind)+" "+s.Name)
	}
	want := []string{
		"core underlay/core",
		"router use1/router", "host use1/host1", "host use1/host2", "gateway use1-a", "gateway use1-b",
		"router euw1/router", "host euw1/host1", "gateway euw1-a",
		"router hq/router", "host hq/host1", "gateway hq-1", "nat hq-1/nat",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

func TestPathsCarryWhatTheFileSays(t *testing.T) {
	in := three()
	in.Links = []intent.Link{{A: in.Places[0], B: in.Places[2], UnderlayMTU: 9500}}
	w := draw(t, in)
	got := map[string]int{}
	for _, p := range w.Paths {
		got[p.From+" "+p.To] = p.MTU
	}
	want := map[string]int{"use1 euw1": 1500, "euw1 use1": 1500, "use1 hq": 9500, "hq use1": 9500, "euw1 hq": 1400, "hq euw1": 1400}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, wire := range w.Wires {
		if wire.MTU != 9500 {
			t.Errorf("wire %s–%s carries %d", wire.A.Space, wire.B.Space, wire.MTU)
		}
	}
}

func TestGatewaysAreKnownByTheirEndpoints(t *testing.T) {
	w := draw(t, three())
	if got := w.Edge("use1-a").Outer[0]; got != netip.MustParseAddr("203.0.113.10") {
		t.Errorf("use1-a is known as %s", got)
	}
	if got := w.Edge("euw1-a").Outer[1]; got != netip.MustParseAddr("2001:db8:ffff::1") {
		t.Errorf("euw1-a is known as %s", got)
	}
	if got := w.Edge("hq-1"); got.Space != "hq-1/nat" {
		t.Errorf("hq-1 meets the underlay in %s", got.Space)
	}
	for _, g := range w.Of(Gateway) {
		want := []Name{{w.Edge("use1-b").Outer[1], "use1-b.example.net"}}
		if diff := cmp.Diff(want, g.Hosts, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s resolves\n%s", g.Name, diff)
		}
	}
	for _, e := range w.Edges {
		if len(e.Outer) != 2 || !e.Outer[0].Is4() || !e.Outer[1].Is6() {
			t.Errorf("%s is known as %v, want one address per family", e.Gateway, e.Outer)
		}
	}
}

func TestGatewaysThatShareAnAddressStandBehindABox(t *testing.T) {
	in := three()
	hq := in.Places[2]
	hq.Gateways = []*intent.Gateway{
		{Name: "hq-1", Place: hq, Port: 51820, Endpoint: fabric.Endpoint{Host: "198.51.100.1", Port: 51820}},
		{Name: "hq-2", Place: hq, Port: 51820, Endpoint: fabric.Endpoint{Host: "198.51.100.1", Port: 51821}},
	}
	device := func(name string, port uint16, peer string, outer uint16) plan.Device {
		return plan.Device{Name: name, ListenPort: port, Peers: []*plan.Peer{{Gateway: peer, Endpoint: fabric.Endpoint{Host: "198.51.100.1", Port: outer}}}}
	}
	w, err := Draw(in, &plan.Fabric{Gateways: []*plan.Gateway{
		{Name: "hq-1", Devices: []plan.Device{device("rw1", 51820, "use1-a", 51820)}},
		{Name: "hq-2", Devices: []plan.Device{device("rw2", 51820, "use1-a", 51820), device("rw3", 51821, "use1-b", 51820)}},
		{Name: "use1-a", Devices: []plan.Device{device("rw1", 51820, "hq-1", 51820), device("rw2", 51821, "hq-2", 51821)}},
		{Name: "use1-b", Devices: []plan.Device{device("rw3", 51820, "hq-2", 51822)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	boxes := w.Of(NAT)
	if len(boxes) != 1 || len(boxes[0].Forward) != 2 {
		t.Fatalf("boxes: %+v", boxes)
	}
	two := boxes[0].Forward[1]
	if !slices.Equal(two.Ports, []Ports{{51821, 51820}, {51822, 51821}}) || two.Outer[0] != netip.MustParseAddr("198.51.100.1") {
		t.Errorf("hq-2 is forwarded as %+v", two)
	}
}

func TestRoutersHaveTheRoutesOfThePlan(t *testing.T) {
	w := draw(t, three())
	want := []Route{
		{Prefix: netip.MustParsePrefix("192.168.0.0/24"), Interface: "host1"},
		{Prefix: netip.MustParsePrefix("10.10.0.0/16"), Interface: "gw1"},
	}
	if got := w.Space("hq/router").Routes; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAHostCarriesAnAddressOfEverySet(t *testing.T) {
	in := three()
	for _, c := range []struct{ prefix, want string }{
		{"10.10.0.0/16", "10.10.0.1 10.10.4.1 10.10.4.5 10.10.4.7 10.10.5.1 10.10.128.1"},
		{"10.20.0.0/16", "10.20.0.1 10.20.128.1"},
		{"192.168.0.0/24", "192.168.0.1"},
		{"2001:db8:10::/48", "2001:db8:10::1"},
	} {
		var got []string
		for _, a := range Representatives(in, netip.MustParsePrefix(c.prefix)) {
			got = append(got, a.String())
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: got %s, want %s", c.prefix, s, c.want)
		}
	}
	w := draw(t, in)
	if h := w.HostOf(netip.MustParseAddr("10.10.4.5")); h == nil || h.Name != "use1/host1" {
		t.Errorf("10.10.4.5 is carried by %v", h)
	}
}

func TestTinyPrefixes(t *testing.T) {
	for _, c := range []struct{ prefix, want string }{
		{"10.0.0.0/30", "10.0.0.1"}, {"10.0.0.4/31", "10.0.0.4"}, {"10.0.0.9/32", "10.0.0.9"}, {"255.255.255.255/32", "255.255.255.255"},
	} {
		got := Representatives(&intent.Fabric{}, netip.MustParsePrefix(c.prefix))
		if len(got) != 1 || got[0].String() != c.want {
			t.Errorf("%s: got %v, want %s", c.prefix, got, c.want)
		}
	}
}

func TestTheLabsAddressesAreNobodyElses(t *testing.T) {
	in := three()
	in.Places[1].Prefixes = nets("198.18.0.0/15", "10.0.0.0/8")
	in.Places[1].Gateways[0].Endpoint.Host = "172.16.0.1"
	w := draw(t, in)
	taken := append(in.Places[1].Prefixes, in.Pools.Links4, netip.MustParsePrefix("172.16.0.1/32"))
	seen := map[netip.Addr]string{}
	for _, wire := range w.Wires {
		for _, end := range []End{wire.A, wire.B} {
			for _, a := range end.Link {
				if other := seen[a]; other != "" {
					t.Errorf("%s is in %s and %s", a, other, end.Space)
				}
				seen[a] = end.Space
				if slices.ContainsFunc(taken, func(p netip.Prefix) bool { return p.Contains(a) }) {
					t.Errorf("%s of %s is the fabric's", a, end.Space)
				}
			}
		}
	}
}

func TestAFabricThatLeavesNoRoomIsRefused(t *testing.T) {
	in := three()
	in.Places[0].Prefixes = nets("0.0.0.0/0")
	if _, err := Draw(in, &plan.Fabric{}); err == nil || !strings.Contains(err.Error(), "RW5001") {
		t.Errorf("got %v, want RW5001", err)
	}
}

// Controllers stand beside what was there before, and change nothing of it.
func TestControllersHaveASeat(t *testing.T) {
	in, p := three(), &plan.Fabric{}
	without, err := Draw(in, p)
	if err != nil {
		t.Fatal(err)
	}
	with, err := Draw(in, p, "use1", "euw1")
	if err != nil {
		t.Fatal(err)
	}
	same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	prefix := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(without.Wires, with.Wires[:len(without.Wires)], same, prefix); diff != "" {
		t.Errorf("what was there before has changed:\n%s", diff)
	}
	var got []string
	for _, s := range with.Seats {
		got = append(got, s.Name+" "+s.Space+" "+string(with.Space(s.Space).Kind))
		this, other := with.End(s.Space, Uplink)
		if this == nil || other.Space != CoreSpace || other.Interface != s.Core || this.Link[0] != s.Addr || !s.Addr.Is4() {
			t.Errorf("the wire of %s is %v, %v", s.Name, this, other)
		}
	}
	want := []string{"use1 use1/controller controller", "euw1 euw1/controller controller", "operator underlay/operator operator"}
	if diff := cmp.Diff(want, got); diff != "" || len(with.Controllers()) != 2 || len(without.Seats) != 0 {
		t.Error(diff)
	}
}

// spoken is the plan of a place, with a router in two families, whose two gateways speak BGP with it, and of one without.
func spoken(daemon fabric.Daemon) *plan.Fabric {
	router := []*plan.Neighbor{
		{Name: "far", Device: "rw1", Address: netip.MustParseAddr("100.64.0.1"), Local: netip.MustParseAddr("100.64.0.0"), ASN: 65002},
		{Name: "vpc", Address: netip.MustParseAddr("10.10.0.1"), ASN: 64512, Accept: nets("10.10.64.0/18"), BFD: &plan.BFD{Interval: 300, Multiplier: 3}},
		{Name: "vpc", Address: netip.MustParseAddr("2001:db8:10::1"), ASN: 64512},
	}
	return &plan.Fabric{
		Places: []*plan.Place{{Name: "euw1"}, {Name: "use1"}},
		Gateways: []*plan.Gateway{
			{Name: "euw1-a", Place: "euw1", BGP: &plan.BGP{Daemon: daemon, ASN: 65002, Neighbors: router[:1]}},
			{Name: "use1-a", Place: "use1", BGP: &plan.BGP{Daemon: daemon, ASN: 65001, Neighbors: router}},
			{Name: "use1-b", Place: "use1", BGP: &plan.BGP{Daemon: daemon, ASN: 65001, Neighbors: router}},
		},
	}
}

func TestARouterSpeaksWithTheGatewaysOfItsPlace(t *testing.T) {
	w, err := Draw(three(), spoken(fabric.FRR))
	if err != nil {
		t.Fatal(err)
	}
	if len(w.Speakers) != 1 || w.Speakers[0].Space != "use1/router" || w.Speakers[0].RouterID != netip.MustParseAddr("10.10.0.1") {
		t.Fatalf("speakers: %+v", w.Speakers)
	}
	sessions := w.Speakers[0].Sessions
	if len(sessions) != 4 {
		t.Fatalf("%d sessions, want one for each family with each of two gateways", len(sessions))
	}
	for _, s := range sessions {
		lan, router := w.End(s.Gateway, Inside)
		if !slices.Contains(lan.Link, s.Remote) || s.Remote.Is4() != s.Local.Is4() || !slices.Contains(router.Own, s.Local) || s.Multihop {
			t.Errorf("session %+v between %+v and %+v", s, lan, router)
		}
	}
	first := Session{
		Gateway: "use1-a", Local: netip.MustParseAddr("10.10.0.1"), LocalASN: 64512, Remote: sessions[0].Remote, RemoteASN: 65001,
		Announce: nets("10.10.64.0/18"), BFD: &plan.BFD{Interval: 300, Multiplier: 3},
	}
	if diff := cmp.Diff(first, sessions[0], cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	for _, prefix := range nets("10.10.0.1/32", "2001:db8:10::1/128") {
		if !slices.Contains(w.Space("use1-b").Routes, Route{Prefix: prefix, Interface: Inside, OnLink: true}) {
			t.Errorf("use1-b has no route to %s on its LAN: %+v", prefix, w.Space("use1-b").Routes)
		}
		if h := w.HostOf(prefix.Addr()); h != nil {
			t.Errorf("%s carries the router's address %s", h.Name, prefix.Addr())
		}
	}
}

func TestARouterIsAsFarAwayAsTheDaemonThinks(t *testing.T) {
	w, err := Draw(three(), spoken(fabric.BIRD))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range w.Speakers[0].Sessions {
		if !s.Multihop {
			t.Errorf("session %+v, want one over several hops", s)
		}
	}
}

func TestARepresentativeIsNotTaken(t *testing.T) {
	prefix := netip.MustParsePrefix("10.0.0.0/30")
	var taken []netip.Addr
	for _, want := range []string{"10.0.0.1", "10.0.0.0", "10.0.0.2", "10.0.0.3"} {
		got := Representatives(&intent.Fabric{}, prefix, taken...)
		if len(got) != 1 || got[0].String() != want {
			t.Errorf("besides %v: %v, want %s", taken, got, want)
		}
		taken = append(taken, got...)
	}
	if got := Representatives(&intent.Fabric{}, prefix, taken...); len(got) != 0 {
		t.Errorf("where all are taken: %v", got)
	}
}
