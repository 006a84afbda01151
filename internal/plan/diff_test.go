package plan

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/fabric"
	"ropeway/internal/key"
)

// meshed returns a gateway with so many peers and routes, and the route table before it.
func meshed(peers int) *Fabric {
	g, p := sample(), &Place{Name: "use1"}
	g.Devices[0].Peers, g.Routes = nil, nil
	for i := range peers {
		name := fmt.Sprintf("p%03d", i)
		list := []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i), 0}), 24)}
		g.Devices[0].Peers = append(g.Devices[0].Peers, &Peer{Gateway: name, AllowedIPs: list, MTU: 1440, Underlay: 1500, Overhead: 60})
		g.Routes = append(g.Routes, &Route{Device: "rw0", Peer: name, MTU: 1440, Prefixes: list})
		p.Routes = append(p.Routes, &RouterRoute{To: name, Gateway: g.Name, Prefixes: list})
	}
	return &Fabric{Gateways: []*Gateway{g}, Places: []*Place{p}}
}

// objects returns what changes, with the number of changes that begin with the same word.
func objects(d *Diff) map[string]int {
	out := map[string]int{}
	for _, x := range append(append([]Difference{}, d.Gateways...), d.Routers...) {
		for _, c := range x.Changes {
			var word string
			_, _ = fmt.Sscan(c.Object, &word)
			if word == "peer" || word == "peers" || word == "routes" {
				out[c.Action.Mark()+word]++
			}
		}
	}
	return out
}

func TestListsThatComeOrGoWhole(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after *Fabric
		want          map[string]int
	}{
		{"few", nil, meshed(mostWhole), map[string]int{"+peer": mostWhole, "+routes": 2 * mostWhole}},
		{"many", nil, meshed(mostWhole + 1), map[string]int{"+peers": 1, "+routes": 2}},
		{"all gone", meshed(100), &Fabric{}, map[string]int{"-peers": 1, "-routes": 2}},
		{"some gone", meshed(100), meshed(50), map[string]int{"-peer": 50, "-routes": 100}},
	} {
		if diff := cmp.Diff(c.want, objects(Compare(c.before, c.after))); diff != "" {
			t.Errorf("%s, -want +got:\n%s", c.name, diff)
		}
	}
	want := Change{Add, "peers", "p000, p001, p002, p003, p004, p005 and 994 more"}
	if got := Compare(nil, meshed(1000)).Gateways[0].Changes; got[1] != want {
		t.Errorf("%v, want %v", got[1], want)
	}
}

// Whatever two peers differ in shows: no field is forgotten where words are saved.
func TestEveryFieldOfAPeerShows(t *testing.T) {
	edits := map[string]func(*Peer){
		"PublicKey":  func(p *Peer) { p.PublicKey = key.PublicFromBytes([key.Size]byte{1}) },
		"Endpoint":   func(p *Peer) { p.Endpoint = fabric.Endpoint{Host: "192.0.2.1", Port: 1} },
		"AllowedIPs": func(p *Peer) { p.AllowedIPs = nil },
		"Keepalive":  func(p *Peer) { p.Keepalive = 25 },
		"MTU":        func(p *Peer) { p.MTU-- },
		"Underlay":   func(p *Peer) { p.Underlay++ },
		"Overhead":   func(p *Peer) { p.Overhead = 80 },
		"Standby":    func(p *Peer) { p.Standby = true },
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Peer]()) {
		if f.Name == "Gateway" { // with another name it is another peer
			continue
		}
		before, after := meshed(1), meshed(1)
		edits[f.Name](after.Gateways[0].Devices[0].Peers[0])
		if Compare(before, after).Empty() {
			t.Errorf("a change of %s goes unseen", f.Name)
		}
	}
}
