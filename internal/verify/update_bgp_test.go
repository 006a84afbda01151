package verify

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/plan"
)

// TestUpdateOfSpeakers changes AllowedIPs and static routes of gateways that speak BGP: sessions may come and go with them. After each change the model says what one made
// afresh of the changed plan does.
func TestUpdateOfSpeakers(t *testing.T) {
	applied, turned := 0, 0
	for seed := range uint64(25) {
		in, p, facts := speakingCase(2 * seed)
		original := clone(t, p)
		m := New(p, facts)
		ok := m.Check(in).OK
		changed := clone(t, p)
		for i, g := range changed.Gateways {
			for k := range g.Devices {
				d := &g.Devices[k]
				c := Change{Gateway: g.Name, Table: AllowedTable, Device: d.Name, Prefix: everywhere[0], From: d.Peers[0].Gateway, MTU: d.MTU}
				if (i+k)%3 == 0 {
					c.Table, c.Prefix, c.From, c.To = RouteTable, netip.MustParsePrefix("10.1.7.0/24"), "", d.Peers[0].Gateway
				}
				effect, err := m.Update(c)
				if err != nil {
					continue
				}
				applied++
				carryOutAt(changed, c)
				want := New(changed, facts).Check(in)
				if diff := cmp.Diff(want, m.Check(in), sameReport); diff != "" {
					t.Fatalf("seed %d, %+v (-afresh +updated):\n%s", seed, c, diff)
				}
				if effect.OK != want.OK {
					t.Errorf("seed %d, %+v: the effect says ok=%v, the report %v", seed, c, effect.OK, want.OK)
				}
				if want.OK != ok {
					turned++
				}
				ok = want.OK
			}
		}
		if !reflect.DeepEqual(clone(t, p), original) {
			t.Fatal("an update changed the plan that it was given")
		}
	}
	if applied < 150 {
		t.Errorf("%d changes applied", applied)
	}
	t.Logf("%d changes applied, of which %d changed whether all is proven", applied, turned)
}

// carryOutAt changes the plan itself.
func carryOutAt(p *plan.Fabric, c Change) {
	g := p.Gateway(c.Gateway)
	if c.Table == RouteTable {
		g.Routes = append(g.Routes, &plan.Route{Device: c.Device, Peer: c.To, MTU: c.MTU, Prefixes: []netip.Prefix{c.Prefix}})
		return
	}
	q := g.Device(c.Device).Peers[0]
	var kept []netip.Prefix
	for _, x := range q.AllowedIPs {
		if x != c.Prefix {
			kept = append(kept, x)
		}
	}
	q.AllowedIPs = kept
}

// TestUpdateOfSpeakersRefuses: what is learnt is not in the plan, and what is not there cannot be taken away. Nothing changes then.
func TestUpdateOfSpeakersRefuses(t *testing.T) {
	f := &speakingFabric{Fabric: &plan.Fabric{Name: "f"}}
	f.place("a", []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, "a1")
	f.place("b", []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}, "b1")
	f.join("a1", "b1", false)
	in, _, _ := speakingCase(0)
	good := Change{Gateway: "a1", Table: AllowedTable, Device: "rw1", Prefix: everywhere[0], From: "b1"}
	m := New(f.sorted(), Facts{})
	if _, err := m.Update(good); err == nil {
		t.Error("an update before a check")
	}
	before := m.Check(in)
	for name, spoil := range map[string]func(*Change){
		"learnt":          func(c *Change) { c.Table, c.Prefix = RouteTable, netip.MustParsePrefix("10.2.0.0/16") },
		"no such gateway": func(c *Change) { c.Gateway = "nobody" },
		"no such device":  func(c *Change) { c.Device = "rw7" },
		"no such peer":    func(c *Change) { c.From = "nobody" },
		"not there":       func(c *Change) { c.Prefix = netip.MustParsePrefix("10.3.0.0/16") },
		"there already":   func(c *Change) { c.From, c.To = "", "b1" },
		"nothing to do":   func(c *Change) { c.From = "" },
		"no such table":   func(c *Change) { c.Table = "rules" },
		"host bits":       func(c *Change) { c.Prefix = netip.MustParsePrefix("0.0.0.1/0") },
	} {
		c := good
		spoil(&c)
		if _, err := m.Update(c); err == nil {
			t.Errorf("%s: %+v was accepted", name, c)
		}
	}
	if diff := cmp.Diff(before, m.Check(in), sameReport); diff != "" {
		t.Error(diff)
	}
	if _, err := m.Update(good); err != nil {
		t.Error(err)
	}
}
