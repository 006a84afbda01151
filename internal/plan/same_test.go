package plan

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"ropeway/internal/fabric"
	"ropeway/internal/key"
)

// someGateway is a plan with something of everything.
func someGateway() *Gateway {
	prefix := netip.MustParsePrefix
	k := func(b byte) key.Public {
		var raw [32]byte
		raw[0] = b
		return key.PublicFromBytes(raw)
	}
	return &Gateway{
		Name: "gw1", Place: "east",
		Devices: []Device{{
			Name: "rw0", ListenPort: 51820, Addresses: []netip.Prefix{prefix("100.64.0.1/32")}, MTU: 1440, PublicKey: k(1),
			Peers: []*Peer{
				{Gateway: "gw2", PublicKey: k(2), Endpoint: fabric.Endpoint{Host: "192.0.2.2", Port: 51820}, AllowedIPs: []netip.Prefix{prefix("10.2.0.0/24"), prefix("10.9.0.1/32"), prefix("100.64.0.2/32")}, MTU: 1440, Underlay: 1500, Overhead: 60},
				{Gateway: "gw3", PublicKey: k(3), AllowedIPs: []netip.Prefix{prefix("100.64.0.3/32"), prefix("fd00::3/128")}, Keepalive: 25, MTU: 1440, Underlay: 1500, Overhead: 60, Standby: true},
			},
		}},
		Routes: []*Route{{Device: "rw0", Peer: "gw2", MTU: 1440, Prefixes: []netip.Prefix{prefix("10.2.0.0/24")}}},
		Firewall: Firewall{
			Own: []netip.Prefix{prefix("10.1.0.0/24")}, Fabric: []netip.Prefix{prefix("10.1.0.0/24"), prefix("10.2.0.0/24"), prefix("10.9.0.0/24")},
			Rules:   []Rule{{ID: 1, Direction: Out, From: []netip.Prefix{prefix("10.1.0.0/24")}, To: []netip.Prefix{prefix("10.2.0.0/24")}, Services: []fabric.Service{{Protocol: fabric.TCP, First: 443, Last: 443}}}},
			Answers: []Direction{Out, In},
		},
		Sysctls: []Sysctl{{"net/ipv4/ip_forward", "1"}},
		BGP:     speaker(),
	}
}

// eachPart changes one part of a value after the other, calls seen, and takes the change back: every field, and every element of every list.
func eachPart(t *testing.T, path string, v reflect.Value, seen func(path string)) {
	t.Helper()
	was := reflect.New(v.Type()).Elem()
	was.Set(v)
	change := func(to any) {
		v.Set(reflect.ValueOf(to).Convert(v.Type()))
		seen(path)
		v.Set(was)
	}
	if v.IsZero() && v.Kind() != reflect.Bool {
		t.Fatalf("%s: there is nothing in it that could change", path)
	}
	switch v.Kind() {
	case reflect.Bool:
		change(!v.Bool())
	case reflect.String:
		change(v.String() + "x")
	case reflect.Int, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		change(reflect.Zero(v.Type()).Interface())
	case reflect.Pointer:
		change(reflect.Zero(v.Type()).Interface())
		eachPart(t, path, v.Elem(), seen)
	case reflect.Slice:
		change(reflect.Zero(v.Type()).Interface())
		eachPart(t, path+"[0]", v.Index(0), seen)
	case reflect.Struct:
		if v.Type().PkgPath() != reflect.TypeFor[BGP]().PkgPath() { // an address, and the like
			change(reflect.Zero(v.Type()).Interface())
			return
		}
		for i := range v.NumField() {
			eachPart(t, path+"."+v.Type().Field(i).Name, v.Field(i), seen)
		}
	default:
		t.Fatalf("%s: a %s", path, v.Kind())
	}
}

// Whatever routing comes to have, a change of it is seen: a gateway is only told what is not the same.
func TestSameSeesAllOfBGP(t *testing.T) {
	a, b := someGateway(), someGateway()
	for _, g := range []*Gateway{a, b} {
		g.BGP.Neighbors[0].Announce = g.BGP.Neighbors[1].Announce
	}
	parts := 0
	eachPart(t, "bgp", reflect.ValueOf(a).Elem().FieldByName("BGP"), func(path string) {
		parts++
		if Same(a, b) || Revision(a) == Revision(b) {
			t.Errorf("%s: a change is not seen", path)
		}
	})
	if !Same(a, b) || parts < 30 {
		t.Errorf("the same after all of %d changes: %v", parts, Same(a, b))
	}
}

// Same says what the revisions say, whatever is changed.
func TestSame(t *testing.T) {
	changes := []func(*Gateway){
		func(g *Gateway) { g.Name = "gw9" },
		func(g *Gateway) { g.Place = "west" },
		func(g *Gateway) { g.Devices = nil },
		func(g *Gateway) { g.Devices[0].Name = "rw1" },
		func(g *Gateway) { g.Devices[0].ListenPort++ },
		func(g *Gateway) { g.Devices[0].MTU-- },
		func(g *Gateway) { g.Devices[0].PublicKey = key.Public{} },
		func(g *Gateway) { g.Devices[0].Addresses = nil },
		func(g *Gateway) { g.Devices[0].Peers = g.Devices[0].Peers[:1] },
		func(g *Gateway) { g.Devices[0].Peers[0].Gateway = "gw0" },
		func(g *Gateway) { g.Devices[0].Peers[0].PublicKey = key.Public{} },
		func(g *Gateway) { g.Devices[0].Peers[0].Endpoint.Host = "192.0.2.99" },
		func(g *Gateway) { g.Devices[0].Peers[0].AllowedIPs = g.Devices[0].Peers[0].AllowedIPs[1:] },
		func(g *Gateway) { g.Devices[0].Peers[0].Keepalive = 25 },
		func(g *Gateway) { g.Devices[0].Peers[0].MTU-- },
		func(g *Gateway) { g.Devices[0].Peers[0].Underlay-- },
		func(g *Gateway) { g.Devices[0].Peers[0].Overhead++ },
		func(g *Gateway) { g.Devices[0].Peers[0].Standby = true },
		func(g *Gateway) { g.Routes = nil },
		func(g *Gateway) { g.Routes[0].Device = "rw1" },
		func(g *Gateway) { g.Routes[0].Peer = "gw3" },
		func(g *Gateway) { g.Routes[0].MTU-- },
		func(g *Gateway) { g.Routes[0].Prefixes = nil },
		func(g *Gateway) { g.Firewall.Own = nil },
		func(g *Gateway) { g.Firewall.Fabric = g.Firewall.Fabric[1:] },
		func(g *Gateway) { g.Firewall.Rules = nil },
		func(g *Gateway) { g.Firewall.Answers = nil },
		func(g *Gateway) { g.Firewall.Rules[0].ID++ },
		func(g *Gateway) { g.Firewall.Rules[0].Direction = In },
		func(g *Gateway) { g.Firewall.Rules[0].From = nil },
		func(g *Gateway) { g.Firewall.Rules[0].To = nil },
		func(g *Gateway) { g.Firewall.Rules[0].Services = nil },
		func(g *Gateway) { g.Sysctls = nil },
		func(g *Gateway) { g.BGP = nil },
		func(g *Gateway) { g.BGP.Own = nil },
		func(g *Gateway) { g.BGP.MaxPaths++ },
		func(g *Gateway) { g.BGP.Neighbors = nil },
		func(g *Gateway) { g.BGP.Neighbors[0].Tags = nil },
		func(g *Gateway) { g.BGP.Neighbors[0].Prefer[0].Metric++ },
		func(g *Gateway) { g.BGP.Neighbors[0].Prefer[3].Metric++ },
		func(g *Gateway) { g.BGP.Neighbors[0].BFD = nil },
		func(g *Gateway) { g.BGP.Communities = nil },
		func(g *Gateway) { g.BGP.Neighbors[1].Announce.Prepend++ },
	}
	for i, change := range changes {
		a, b := someGateway(), someGateway()
		if !Same(a, b) || Same(a, nil) || !Same(nil, nil) {
			t.Fatal("two plans that say the same are not the same")
		}
		change(a)
		if Same(a, b) || Revision(a) == Revision(b) {
			t.Errorf("change %d is not seen", i)
		}
		if Compare(&Fabric{Gateways: []*Gateway{b}}, &Fabric{Gateways: []*Gateway{a}}).Empty() {
			t.Errorf("change %d is not shown", i)
		}
		change(b)
		if !Same(a, b) {
			t.Errorf("change %d on both is a difference", i)
		}
	}
}

// Two gateways can have a session where each knows the other as he is, and one at least where he is.
func TestJoined(t *testing.T) {
	other := func() *Gateway {
		g := someGateway()
		d := &g.Devices[0]
		g.Name, g.Place, d.PublicKey, d.Addresses = "gw2", "west", someGateway().Devices[0].Peers[0].PublicKey, []netip.Prefix{netip.MustParsePrefix("100.64.0.2/32")}
		d.Peers = []*Peer{{Gateway: "gw1", PublicKey: someGateway().Devices[0].PublicKey, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("100.64.0.1/32")}}}
		return g
	}
	for what, tt := range map[string]struct {
		spoil func(a, b *Gateway)
		want  bool
	}{
		"as it is":           {func(_, _ *Gateway) {}, true},
		"nobody knows where": {func(a, _ *Gateway) { a.Devices[0].Peers[0].Endpoint = fabric.Endpoint{} }, false},
		"the other knows": {func(a, b *Gateway) {
			a.Devices[0].Peers[0].Endpoint, b.Devices[0].Peers[0].Endpoint = fabric.Endpoint{}, fabric.Endpoint{Host: "192.0.2.1", Port: 1}
		}, true},
		"another key": {func(_, b *Gateway) { b.Devices[0].PublicKey = b.Devices[0].Peers[0].PublicKey }, false},
		"no key yet": {func(a, b *Gateway) {
			b.Devices[0].PublicKey, a.Devices[0].Peers[0].PublicKey = key.Public{}, key.Public{}
		}, false},
		"one does not know the other":  {func(_, b *Gateway) { b.Devices[0].Peers = nil }, false},
		"another address":              {func(_, b *Gateway) { b.Devices[0].Addresses = []netip.Prefix{netip.MustParsePrefix("100.64.0.7/32")} }, false},
		"packets from it are dropped":  {func(a, _ *Gateway) { a.Devices[0].Peers[0].AllowedIPs = a.Devices[0].Peers[0].AllowedIPs[:2] }, false},
		"neither has a device for now": {func(a, b *Gateway) { a.Devices, b.Devices = nil, nil }, false},
	} {
		a, b := someGateway(), other()
		tt.spoil(a, b)
		if Joined(a, b) != tt.want || Joined(b, a) != tt.want {
			t.Errorf("%s: %v and %v, want %v", what, Joined(a, b), Joined(b, a), tt.want)
		}
	}
}

// Of a peer's prefixes those are addresses of tunnels that no place owns.
func TestTunnelAddresses(t *testing.T) {
	g := someGateway()
	for i, want := range []string{"100.64.0.2", "100.64.0.3"} {
		if got := g.TunnelAddresses(g.Devices[0].Peers[i]); !slices.Equal(got, []netip.Addr{netip.MustParseAddr(want)}) {
			t.Errorf("%s: %v, want %s", g.Devices[0].Peers[i].Gateway, got, want)
		}
	}
}
