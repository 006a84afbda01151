package verify

import (
	"fmt"
	"net/netip"
	"slices"

	"ropeway/internal/diag"
	"ropeway/internal/plan"
)

// Where gateways speak BGP, one rule may let a session come up or go down, and change the way to anywhere. So an update then proves the changed plan afresh.

// renew carries a change out in the plan that this one was derived from, and judges everything again.
func (m *Model) renew(c Change) (Effect, error) {
	p, err := changed(m.source.plan, c)
	if err != nil {
		return Effect{}, err
	}
	in := m.world.in
	*m = *New(p, m.source.facts)
	report := m.Check(in)
	return Effect{OK: report.OK, Judged: m.world.meetings(), Errors: m.world.severe}, nil
}

// meetings counts the pairs of classes between which there are packets.
func (w *world) meetings() int {
	n := 0
	for a := range w.rows {
		for b := range a {
			if w.meet(int32(a), int32(b)) {
				n += len(w.byRow[a]) * len(w.byRow[b])
			}
		}
	}
	return n
}

// changed returns a plan with a change. It shares with the old one whatever is the same.
func changed(p *plan.Fabric, c Change) (*plan.Fabric, error) {
	if !c.Prefix.IsValid() || c.Prefix != c.Prefix.Masked() || c.Prefix.Addr().Is4In6() {
		return nil, fmt.Errorf("update: prefix %s is not canonical", c.Prefix)
	}
	if c.From == "" && c.To == "" {
		return nil, fmt.Errorf("update: a change of %s names neither the peer that has it nor the one that gets it", c.Prefix)
	}
	at := slices.IndexFunc(p.Gateways, func(g *plan.Gateway) bool { return g != nil && g.Name == c.Gateway })
	if at < 0 {
		return nil, fmt.Errorf("update: the plan has no gateway %s", diag.Quote(c.Gateway))
	}
	g := *p.Gateways[at]
	dev := slices.IndexFunc(g.Devices, func(d plan.Device) bool { return d.Name == c.Device })
	if dev < 0 {
		return nil, fmt.Errorf("update: gateway %s has no device %s", c.Gateway, diag.Quote(c.Device))
	}
	var err error
	switch c.Table {
	case RouteTable:
		g.Routes, err = changedRoutes(&g, c)
	case AllowedTable:
		g.Devices = slices.Clone(g.Devices)
		g.Devices[dev].Peers, err = changedPeers(&g.Devices[dev], c)
	default:
		err = fmt.Errorf("update: there is no table %s", diag.Quote(string(c.Table)))
	}
	if err != nil {
		return nil, err
	}
	out := *p
	out.Gateways = slices.Clone(p.Gateways)
	out.Gateways[at] = &g
	return &out, nil
}

// changedRoutes returns the routes of a gateway with a change: those of the plan itself. What is learnt is in no table that could be changed.
func changedRoutes(g *plan.Gateway, c Change) ([]*plan.Route, error) {
	find := func(peer string, fits func(r *plan.Route) bool) int {
		return slices.IndexFunc(g.Routes, func(r *plan.Route) bool {
			return r != nil && peer != "" && r.Peer == peer && r.Device == c.Device && fits(r)
		})
	}
	from := find(c.From, func(r *plan.Route) bool { return slices.Contains(r.Prefixes, c.Prefix) })
	to := find(c.To, func(r *plan.Route) bool { return r.MTU == c.MTU })
	if c.From != "" && from < 0 {
		return nil, fmt.Errorf("update: the plan of gateway %s has no route to %s by peer %s", c.Gateway, c.Prefix, diag.Quote(c.From))
	}
	if to >= 0 && slices.Contains(g.Routes[to].Prefixes, c.Prefix) {
		return nil, fmt.Errorf("update: peer %s of gateway %s already has %s", c.To, c.Gateway, c.Prefix)
	}
	out := slices.Clone(g.Routes)
	if from >= 0 {
		r := *out[from]
		r.Prefixes = except(r.Prefixes, c.Prefix)
		out[from] = &r
	}
	switch {
	case to >= 0:
		r := *out[to]
		r.Prefixes = append(slices.Clone(r.Prefixes), c.Prefix)
		out[to] = &r
	case c.To != "":
		out = append(out, &plan.Route{Device: c.Device, Peer: c.To, MTU: c.MTU, Prefixes: []netip.Prefix{c.Prefix}})
	}
	return out, nil
}

// changedPeers returns the peers of a device with a change.
func changedPeers(d *plan.Device, c Change) ([]*plan.Peer, error) {
	out := slices.Clone(d.Peers)
	for _, side := range []struct {
		name string
		has  bool
	}{{c.From, true}, {c.To, false}} {
		if side.name == "" {
			continue
		}
		i := slices.IndexFunc(out, func(q *plan.Peer) bool { return q != nil && q.Gateway == side.name })
		switch {
		case i < 0:
			return nil, fmt.Errorf("update: device %s of gateway %s has no peer %s", c.Device, c.Gateway, diag.Quote(side.name))
		case slices.Contains(out[i].AllowedIPs, c.Prefix) != side.has && side.has:
			return nil, fmt.Errorf("update: peer %s of gateway %s does not have %s", side.name, c.Gateway, c.Prefix)
		case slices.Contains(out[i].AllowedIPs, c.Prefix) != side.has:
			return nil, fmt.Errorf("update: peer %s of gateway %s already has %s", side.name, c.Gateway, c.Prefix)
		}
		q := *out[i]
		if side.has {
			q.AllowedIPs = except(q.AllowedIPs, c.Prefix)
		} else {
			q.AllowedIPs = append(slices.Clone(q.AllowedIPs), c.Prefix)
		}
		out[i] = &q
	}
	return out, nil
}

func except(list []netip.Prefix, p netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(list), func(x netip.Prefix) bool { return x == p })
}
