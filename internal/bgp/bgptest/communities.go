package bgptest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// communities: marks of a place go wherever its prefixes go, and what a router of the place is told has what is announced beside. Of what a router sends nothing is
// believed but what asks for less: that is done, by the gateway as by its daemon.
func communities(w *world) {
	a, b := w.pair()
	core := w.coreRouter(a, 24,
		"route 10.1.16.0/20 unreachable { bgp_community.add((65535, 65281)); bgp_community.add((65100, 2)); };",  // NO_EXPORT
		"route 10.1.32.0/20 unreachable { bgp_community.add((65535, 65282)); };",                                 // NO_ADVERTISE
		"route 10.1.48.0/20 unreachable { bgp_community.add((65535, 65283)); };",                                 // NO_EXPORT_SUBCONFED
		"route 10.1.128.0/20 unreachable { bgp_community.add((65535, 0)); bgp_community.add((65535, 65284)); };") // GRACEFUL_SHUTDOWN
	a.want.Communities = marks("64512:1", "64512:11", "64512:1:1")
	b.want.Communities, b.want.Tags = marks("64512:2", "4200000001:2:2"), []uint32{7}
	plain := func(n *plan.Neighbor) { n.MaxHops, n.MaxPrefixes, n.Announce = 1, 20, nil }
	a.with("core", plain)
	w.apply(a, b)
	w.established(a, b)
	a.hears("core", "10.1.16.0/20", "10.1.32.0/20", "10.1.48.0/20", "10.1.64.0/18", "10.1.128.0/20")
	for prefix, want := range map[string]string{
		"10.1.64.0/18": "[]", "10.1.16.0/20": "[65535:65281]", "10.1.32.0/20": "[65535:65282]", "10.1.48.0/20": "[65535:65283]", "10.1.128.0/20": "[65535:0]",
	} {
		a.sends(prefix, "lan")
		if r, _ := a.route(prefix, "core"); fmt.Sprint(r.Communities) != want {
			w.Errorf("of %s the gateway believes the communities %s, want %s", prefix, r.Communities, want)
		}
	}
	b.hears("a", "10.1.0.0/16", "10.1.128.0/20", "10.1.64.0/18", "fd00:1::/32")
	w.marked(b, "10.1.0.0/16", "64512:1 64512:11 64512:1:1")
	w.marked(b, "10.1.64.0/18", "64512:1 64512:11 64512:1:1")
	w.marked(b, "fd00:1::/32", "64512:1 64512:11 64512:1:1")
	w.marked(b, "10.1.128.0/20", "64512:1 64512:11 65535:0 64512:1:1")
	core.told("65001 65002", "(64512,2)", "(4200000001, 2, 2)")

	a.with("core", func(n *plan.Neighbor) { n.Announce = &plan.Announce{NoExport: true} })
	w.apply(a)
	core.told("65001 65002", "(64512,2) (65535,65281)", "(4200000001, 2, 2)")
	a.with("core", func(n *plan.Neighbor) {
		n.Announce = &plan.Announce{Communities: marks("64512:9", "64512:9:9"), Prepend: 3, NoExport: true}
	})
	w.apply(a)
	core.told("65001 65001 65001 65001 65002", "(64512,2) (64512,9) (65535,65281)", "(64512, 9, 9) (4200000001, 2, 2)")
	a.with("core", plain)
	b.want.Communities = nil
	w.apply(a, b)
	core.told("65001 65002", "", "")
	if n := a.observe().Neighbors; n[0].Flaps+n[1].Flaps > 0 {
		w.Errorf("sessions were lost for a policy: %+v", n)
	}
}

func marks(texts ...string) (list []fabric.Community) {
	for _, s := range texts {
		c, err := fabric.ParseCommunity(s)
		if err != nil {
			panic(err)
		}
		list = append(list, c)
	}
	return list
}

// marked waits until what a gateway heard of place 1 has these communities, in whatever order.
func (w *world) marked(g *gateway, prefix, want string) {
	w.Helper()
	w.until(func() string {
		r, _ := g.route(prefix, "a")
		if got := r.Communities; strings.Trim(fmt.Sprint(slices.SortedFunc(slices.Values(got), fabric.Community.Compare)), "[]") != want {
			return fmt.Sprintf("%s has the communities %s, want %s", prefix, got, want)
		}
		return ""
	})
}

var attribute = regexp.MustCompile(`(?m)^\s+BGP\.(as_path|community|large_community): (.*)$`)

// told waits until the router was told place 2's prefix with this path, and with these communities and no others.
func (r *coreRouter) told(path, standard, large string) {
	r.w.Helper()
	r.w.until(func() string {
		said := map[string]string{}
		for _, m := range attribute.FindAllStringSubmatch(r.ask("show", "route", "10.2.0.0/16", "all", "protocol", "toward"), -1) {
			said[m[1]] = strings.TrimSpace(m[2])
		}
		if said["as_path"] != path || said["community"] != standard || said["large_community"] != large {
			return fmt.Sprintf("the router was told %q, want path %q, communities %q and %q", said, path, standard, large)
		}
		return ""
	})
}
