package verify

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ropeway/internal/plan"
)

// randomChange makes a change that fits a plan, mostly: add, remove or move a prefix of a route or a peer, whole ones and pieces.
func randomChange(r *rand.Rand, p *plan.Fabric) Change {
	g := pick(r, p.Gateways)
	d := &g.Devices[0]
	c := Change{Gateway: g.Name, Table: pick(r, []Table{RouteTable, AllowedTable}), Device: d.Name, MTU: pick(r, []int{1280, 1408, 1420, 1440})}
	name := func() string {
		if r.IntN(30) == 0 {
			return pick(r, p.Gateways).Name // perhaps no peer
		}
		if q := anyPeer(r, d); q != nil {
			return q.Gateway
		}
		return ""
	}
	var held []netip.Prefix
	if c.Table == RouteTable {
		if x := anyRoute(r, g); x != nil {
			c.From, held = x.Peer, x.Prefixes
			if r.IntN(2) == 0 {
				c.MTU = x.MTU
			}
		}
	} else if q := anyPeer(r, d); q != nil {
		c.From, held = q.Gateway, q.AllowedIPs
	}
	switch r.IntN(5) {
	case 0, 1: // remove
		if len(held) > 0 {
			c.Prefix = pick(r, held)
		}
	case 2, 3: // move
		if len(held) > 0 {
			c.Prefix, c.To = pick(r, held), name()
		}
	case 4: // add
		c.From, c.To = "", name()
		x := pick(r, pick(r, p.Places).Prefixes)
		switch r.IntN(4) {
		case 0:
			x, _ = split(wide(x))
		case 1:
			_, x = split(wide(x))
		case 2:
			x = netip.PrefixFrom(x.Addr(), 8).Masked()
		}
		c.Prefix = x
	}
	return c
}

// carryOut changes the plan itself.
func carryOut(p *plan.Fabric, c Change) {
	g := p.Gateway(c.Gateway)
	drop := func(list []netip.Prefix) []netip.Prefix {
		return slices.DeleteFunc(slices.Clone(list), func(x netip.Prefix) bool { return x == c.Prefix })
	}
	if c.Table == AllowedTable {
		for _, q := range g.Devices[0].Peers {
			switch q.Gateway {
			case c.From:
				q.AllowedIPs = drop(q.AllowedIPs)
			case c.To:
				q.AllowedIPs = append(slices.Clone(q.AllowedIPs), c.Prefix)
			}
		}
		return
	}
	var to *plan.Route
	removed := c.From == ""
	for _, x := range g.Routes {
		if to == nil && c.To != "" && x.Peer == c.To && x.Device == c.Device && min(x.MTU, g.Devices[0].MTU) == min(c.MTU, g.Devices[0].MTU) {
			to = x
		}
		if !removed && x.Peer == c.From && x.Device == c.Device && slices.Contains(x.Prefixes, c.Prefix) {
			x.Prefixes, removed = drop(x.Prefixes), true
		}
	}
	if c.To == "" {
		return
	}
	if to == nil {
		to = &plan.Route{Device: c.Device, Peer: c.To, MTU: c.MTU}
		g.Routes = append(g.Routes, to)
	}
	to.Prefixes = append(slices.Clone(to.Prefixes), c.Prefix)
}

// sameReport compares all but the counts of atoms and pairs, which an update may leave larger.
var sameReport = cmp.Options{
	cmpopts.IgnoreFields(Stats{}, "Atoms", "Pairs"), cmpopts.IgnoreFields(TestResult{}, "Pairs"),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmpopts.EquateEmpty(),
}

// TestUpdateEqualsCheck applies random changes one after the other, and after each compares the model with a new one of the plan changed
// as much.
func TestUpdateEqualsCheck(t *testing.T) {
	applied, refused := 0, 0
	for seed := range uint64(80) {
		in, p, facts, r := randomCase(t, seed+3000)
		p = clone(t, p)
		m := New(clone(t, p), facts)
		m.Check(in)
		for step := range 25 {
			c := randomChange(r, p)
			effect, err := m.Update(c)
			if err != nil {
				refused++
			} else {
				applied++
				carryOut(p, c)
			}
			want := New(p, facts).Check(in)
			got := m.Check(in)
			if err == nil && effect.OK != got.OK {
				t.Errorf("the effect says ok=%v, the report %v", effect.OK, got.OK)
			}
			if diff := cmp.Diff(want, got, sameReport); diff != "" {
				t.Errorf("a new model says otherwise (-new +updated):\n%s", diff)
			}
			if t.Failed() {
				t.Fatalf("seed %d, step %d, %+v: %v", seed+3000, step, c, err)
			}
		}
	}
	if applied < 1000 || refused == 0 {
		t.Errorf("%d changes applied, %d refused", applied, refused)
	}
}

// TestUpdateThenAnotherSpecification checks a plan that was updated against another specification, which makes a new world.
func TestUpdateThenAnotherSpecification(t *testing.T) {
	for seed := range uint64(40) {
		in, p, facts, r := randomCase(t, seed+4000)
		p = clone(t, p)
		m := New(clone(t, p), facts)
		m.Check(in)
		for range 10 {
			c := randomChange(r, p)
			if _, err := m.Update(c); err == nil {
				carryOut(p, c)
			}
		}
		other := *in
		other.Tests = nil
		if diff := cmp.Diff(New(p, facts).Check(&other), m.Check(&other), sameReport); diff != "" {
			t.Fatalf("seed %d: %s", seed+4000, diff)
		}
	}
}

func TestUpdateRefuses(t *testing.T) {
	in, p, _, _ := randomCase(t, 3)
	m := New(p, Facts{})
	good := Change{Gateway: p.Gateways[0].Name, Table: AllowedTable, Device: "rw0", Prefix: netip.MustParsePrefix("10.99.0.0/16"), To: p.Gateways[0].Devices[0].Peers[0].Gateway}
	if _, err := m.Update(good); err == nil {
		t.Error("an update before a check")
	}
	before := m.Check(in)
	for name, spoil := range map[string]func(*Change){
		"no such gateway": func(c *Change) { c.Gateway = "nobody" },
		"no such device":  func(c *Change) { c.Device = "rw7" },
		"no such peer":    func(c *Change) { c.To = "nobody" },
		"no such table":   func(c *Change) { c.Table = "rules" },
		"nothing to do":   func(c *Change) { c.To = "" },
		"not there":       func(c *Change) { c.From, c.To = c.To, "" },
		"no route there":  func(c *Change) { c.Table, c.From = RouteTable, c.To },
		"host bits":       func(c *Change) { c.Prefix = netip.MustParsePrefix("10.99.0.1/16") },
		"no prefix":       func(c *Change) { c.Prefix = netip.Prefix{} },
		"IPv4 as IPv6":    func(c *Change) { c.Prefix = netip.MustParsePrefix("::ffff:10.0.0.0/120") },
	} {
		c := good
		spoil(&c)
		if _, err := m.Update(c); err == nil {
			t.Errorf("%s: %+v was accepted", name, c)
		} else if len(fmt.Sprint(err)) > 200 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if diff := cmp.Diff(before, m.Check(in), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("a refused change changed something:\n%s", diff)
	}
	if _, err := m.Update(good); err != nil {
		t.Error(err)
	}
	if _, err := m.Update(good); err == nil {
		t.Error("the same prefix twice for one peer")
	}
}
