package bgptest

import (
	"fmt"
	"net/netip"
	"time"

	"ropeway/internal/plan"
)

// refusals: what a neighbour may not announce is not believed, whatever else it may.
func refusals(w *world) {
	a, b := w.pair()
	b.want.Own = prefixes("10.2.0.0/16", "10.66.0.0/16", "192.168.0.0/24", "fd00:2::/32", "fd00:66::/32")
	a.with("b", func(n *plan.Neighbor) { n.Accept = prefixes("10.2.0.0/15", "10.128.0.0/9", "fd00:2::/31") })
	w.apply(a, b)
	w.established(a, b)
	a.hears("b", "10.2.0.0/16", "fd00:2::/32")
	a.with("b", func(n *plan.Neighbor) { n.Accept = prefixes("10.2.0.0/17", "10.66.0.0/15", "fd00:2::/64") })
	w.apply(a)
	a.hears("b", "10.66.0.0/16") // longer ones are believed, shorter ones are not
	a.with("b", func(n *plan.Neighbor) { n.Accept = nil })
	w.apply(a)
	a.hears("b")

	// More prefixes than it may tell end a session, and fewer let it come back.
	a.with("b", func(n *plan.Neighbor) { n.Accept, n.MaxPrefixes = prefixes("0.0.0.0/0", "::/0"), 2 })
	w.apply(a)
	w.until(func() string {
		for _, n := range a.observe().Neighbors {
			if n.Address.Is4() && n.Up {
				return "the session that brings 3 prefixes where 2 may be is up"
			}
		}
		return ""
	})
	a.sends("fd00:66::/32", "b")
	a.with("b", func(n *plan.Neighbor) { n.MaxPrefixes = 3 })
	w.apply(a)
	w.established(a)
	a.hears("b", "10.2.0.0/16", "10.66.0.0/16", "192.168.0.0/24", "fd00:2::/32", "fd00:66::/32")

	// What is believed no more counts no more.
	looked, before := time.Now(), a.observe()
	a.with("b", func(n *plan.Neighbor) { n.Accept = prefixes("10.2.0.0/16", "fd00:2::/32") })
	w.apply(a)
	a.hears("b", "10.2.0.0/16", "fd00:2::/32")
	a.with("b", func(n *plan.Neighbor) { n.MaxPrefixes = 1 })
	w.apply(a)
	time.Sleep(2200 * time.Millisecond) // a daemon may count whole seconds
	a.lasted(before.Neighbors, looked)
}

// triangle: a reaches the place of b1 and b2 directly by either, and by c, which passes on what it hears of b1. 10.7.0.0/16 is behind b1 and c alike, of two
// AS numbers.
func (w *world) triangle() (a, b1, b2 *gateway) {
	w.Helper()
	a, c := w.gateway("a", 65001, "10.1.0.0/16", "fd00:1::/32"), w.gateway("c", 65003, "10.3.0.0/16", "10.7.0.0/16", "fd00:3::/32")
	b1, b2 = w.gateway("b1", 65002, "10.2.0.0/16", "10.7.0.0/16", "fd00:2::/32"), w.gateway("b2", 65002, "10.2.0.0/16", "fd00:2::/32")
	w.join(a, b1)
	w.join(a, b2)
	w.join(a, c)
	w.join(b1, c)
	c.with("a", func(n *plan.Neighbor) { n.Tell = plan.TellAll })
	w.apply(a, b1, b2, c)
	w.established(a, b1, b2, c)
	return a, b1, b2
}

// both waits until a gateway sends what is for place 2 this way, in both families.
func (g *gateway) both(way string) {
	g.w.Helper()
	g.sends("10.2.0.0/16", way)
	g.sends("fd00:2::/32", way)
}

// preferences: an operator's word, then the length of the path, then the metric; routes alike in all of it share packets.
func preferences(w *world) {
	a, b1, _ := w.triangle()
	prefer := func(neighbor string, p ...plan.Preference) { a.with(neighbor, func(n *plan.Neighbor) { n.Prefer = p }) }
	a.both("b1+b2")
	a.hears("c", "10.2.0.0/16", "10.3.0.0/16", "10.7.0.0/16", "fd00:2::/32", "fd00:3::/32")
	a.sends("10.7.0.0/16", "b1+c")

	prefer("b1", plan.Preference{Metric: 10})
	prefer("b2", plan.Preference{Metric: 5})
	w.apply(a)
	a.both("b2")                // the lower metric
	a.sends("10.7.0.0/16", "c") // and so between neighbours of two AS numbers
	w.best(a, "10.2.0.0/16", map[string]bool{"b1": false, "b2": true, "c": false})

	prefer("b1", plan.Preference{Hops: 2, Metric: 1}, plan.Preference{Metric: 5})
	w.apply(a)
	a.both("b1+b2") // the first does not fit; they are alike again
	w.best(a, "10.2.0.0/16", map[string]bool{"b1": true, "b2": true, "c": false})

	prefer("c", plan.Preference{Hops: 2, LocalPreference: 200, Metric: 1000}, plan.Preference{LocalPreference: 50})
	w.apply(a)
	a.both("c") // the operator's word goes before path and metric
	a.sends("10.3.0.0/16", "c")
	if r, ok := a.route("10.3.0.0/16", "c"); !ok || r.LocalPreference != 50 || r.Metric != 0 {
		w.Errorf("what fits the second preference is %+v, want local preference 50 and metric 0", r)
	}

	prefer("c", plan.Preference{Tag: 7, LocalPreference: 200})
	w.apply(a)
	a.both("b1+b2") // nobody tags yet
	b1.with("c", func(n *plan.Neighbor) { n.Tags = []uint32{7} })
	b1.want.Tags = []uint32{8}
	w.apply(b1)
	a.both("c") // b1 tags it to c alone, and c passes the tag on
	w.tags(a, "c", 7, 8)
	w.tags(a, "b1", 8)

	a.want.MaxPaths = 1
	prefer("c")
	w.apply(a)
	w.until(func() string {
		if way := a.way(netip.MustParsePrefix("10.2.0.0/16")); way != "b1" && way != "b2" {
			return fmt.Sprintf("with one path at most, a sends by %q", way)
		}
		return ""
	})
	a.with("c", func(n *plan.Neighbor) { n.MaxHops = 1 })
	w.apply(a)
	a.hears("c", "10.3.0.0/16", "10.7.0.0/16", "fd00:3::/32") // what c passes on has come too far
}

// best holds which routes to a prefix are marked as those that carry.
func (w *world) best(g *gateway, prefix string, want map[string]bool) {
	w.Helper()
	w.until(func() string {
		for neighbor, best := range want {
			if r, ok := g.route(prefix, neighbor); !ok || r.Best != best {
				return fmt.Sprintf("the route of %s to %s by %s is %+v (%v), want best: %v", g.name, prefix, neighbor, r, ok, best)
			}
		}
		return ""
	})
}

// tags waits until what a gateway heard of place 2 has these tags.
func (w *world) tags(g *gateway, neighbor string, want ...uint32) {
	w.Helper()
	w.until(func() string {
		if r, _ := g.route("10.2.0.0/16", neighbor); fmt.Sprint(r.Tags) != fmt.Sprint(want) {
			return fmt.Sprintf("by %s the tags are %v, want %v", neighbor, r.Tags, want)
		}
		return ""
	})
}

// drain: traffic leaves a gateway that is drained for as long as there is another, and comes back.
func drain(w *world) {
	a, b1, b2 := w.triangle()
	a.with("b1", func(n *plan.Neighbor) { n.Prefer = []plan.Preference{{LocalPreference: 300}} })
	w.apply(a)
	a.both("b1")
	b1.want.Drained = true
	w.apply(b1)
	a.both("b2") // b1 is the last choice now, whatever a prefers
	w.established(a, b1)
	b2.want.Drained = true
	w.apply(b2)
	a.both("b1+b2") // there is no other: the way by c leads to b1, too
	b1.want.Drained = false
	w.apply(b1)
	a.both("b1")
	b2.want.Drained = false
	a.with("b1", func(n *plan.Neighbor) { n.Prefer = nil })
	w.apply(b2, a)
	a.both("b1+b2")
}

// tell: a hub tells each neighbour what it is to be told.
func tell(w *world) {
	hub := w.gateway("hub", 65000, "10.0.0.0/16")
	place := map[string]*gateway{}
	for i, name := range []string{"all", "learnt", "own", "spoke1", "spoke2"} {
		place[name] = w.gateway(name, uint32(65001+i), fmt.Sprintf("10.%d.0.0/16", i+1))
		w.join(hub, place[name])
	}
	for _, name := range []string{"spoke1", "spoke2"} {
		hub.with(name, func(n *plan.Neighbor) { n.Spoke, n.Tell = true, plan.TellSpokes })
	}
	hub.with("all", func(n *plan.Neighbor) { n.Tell = plan.TellAll })
	hub.with("learnt", func(n *plan.Neighbor) { n.Tell = plan.TellLearnt })
	w.apply(hub)
	for _, g := range place {
		w.apply(g)
	}
	w.established(hub)
	place["own"].hears("hub", "10.0.0.0/16")
	place["spoke1"].hears("hub", "10.0.0.0/16", "10.5.0.0/16")
	place["spoke2"].hears("hub", "10.0.0.0/16", "10.4.0.0/16")
	place["all"].hears("hub", "10.0.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16", "10.5.0.0/16")
	place["learnt"].hears("hub", "10.1.0.0/16", "10.3.0.0/16", "10.4.0.0/16", "10.5.0.0/16")
	if r, _ := place["spoke1"].route("10.5.0.0/16", "hub"); fmt.Sprint(r.Path) != "[65000 65005]" || r.NextHop != place["spoke1"].want.Neighbors[0].Address {
		w.Errorf("one spoke hears of the other %+v", r)
	}

	// Others are told by what they are to be told now, and nobody's session is touched for it.
	hub.with("own", func(n *plan.Neighbor) { n.Tell = plan.TellSpokes })
	hub.with("spoke2", func(n *plan.Neighbor) { n.Spoke = false })
	w.apply(hub)
	place["own"].hears("hub", "10.0.0.0/16", "10.4.0.0/16")
	place["spoke1"].hears("hub", "10.0.0.0/16")
	place["spoke2"].hears("hub", "10.0.0.0/16", "10.4.0.0/16")
}
