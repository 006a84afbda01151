package bird

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ropeway/internal/bgp"
	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// Communities of RFC 8326 and RFC 1997 as BIRD writes them.
const (
	gracefulShutdown = "(65535, 0)"
	noExport         = "(65535, 65281)"
)

// asksForLess are the communities by which somebody asks for less (see plan.TagASN): GRACEFUL_SHUTDOWN, and those of RFC 1997, which BIRD itself obeys.
const asksForLess = "(65535, 0), (65535, 65281..65283)"

// imports writes what is believed of a neighbour, and what that is worth here. Hops are counted in the path as it came.
func (t *text) imports(n *plan.Neighbor) {
	t.open("import filter")
	defer t.close("};")
	accept := orLonger(n.Accept, n.Address.BitLen())
	if accept == "" {
		t.line("reject;")
		return
	}
	t.line("if net !~ [ %s ] then reject;", accept)
	t.line("if bgp_path.first != %d || bgp_path.len > %d then reject;", n.ASN, n.MaxHops)
	t.line("int hops = bgp_path.len;")
	t.line("from_as = %d;", n.ASN)
	if n.Spoke {
		t.line("from_spoke = 1;")
	}
	if n.External() {
		t.line("from_router = 1;")
		t.line("bgp_path.delete(%d);", n.ASN) // what a router of the place announces is the place's
		t.line("bgp_community = filter(bgp_community, [ %s ]);", asksForLess)
		t.line("bgp_large_community.empty; bgp_ext_community.empty;")
	}
	t.line("bgp_local_pref = %d; bgp_med = 0;", plan.DefaultLocalPreference)
	t.prefer(n.Prefer)
	t.line("if %s ~ bgp_community then bgp_local_pref = 0;", gracefulShutdown) // whatever is preferred
	t.line("accept;")
}

// prefer writes a chain of which the first link that fits decides.
func (t *text) prefer(list []plan.Preference) {
	for i, p := range list {
		var fits []string
		if p.Hops > 0 {
			fits = append(fits, fmt.Sprintf("hops = %d", p.Hops))
		}
		if p.Tag > 0 {
			fits = append(fits, fmt.Sprintf("%s ~ bgp_large_community", tag(p.Tag)))
		}
		if len(fits) == 0 {
			fits = []string{"true"}
		}
		worth := cmp.Or(p.LocalPreference, plan.DefaultLocalPreference)
		otherwise := ""
		if i > 0 {
			otherwise = "else "
		}
		t.line("%sif %s then { bgp_local_pref = %d; bgp_med = %d; }", otherwise, strings.Join(fits, " && "), worth, p.Metric)
	}
}

// exports writes what a neighbour is told. What a router of the place announced counts as the place's own.
func (t *text) exports(c *bgp.Config, n *plan.Neighbor) {
	t.open("export filter")
	defer t.close("};")
	switch n.Tell {
	case plan.TellAll, plan.TellSpokes:
		t.open("if source = RTS_STATIC || defined(from_router) then")
		t.originated(c, n)
		t.close("}")
		t.open("else")
		t.learnt(n)
		t.close("}")
	case plan.TellLearnt:
		t.learnt(n)
	default:
		t.line("if source != RTS_STATIC && !defined(from_router) then reject;")
		t.originated(c, n)
	}
	switch {
	case n.External() && c.Drained:
		t.line("bgp_med = bgp_med + %d;", plan.DrainMetric)
	case n.External() || n.Tell == plan.TellLearnt:
		t.line("bgp_med = bgp_med;") // a metric that no export filter sets does not leave the AS
	}
	if c.Drained && !n.External() {
		t.line("bgp_community.add(%s);", gracefulShutdown)
	}
	if n.External() {
		t.line("bgp_large_community.delete([ (%d, *, *) ]);", plan.TagASN)
	}
	if n.Announce != nil {
		t.announced(c.ASN, n.Announce)
	}
	t.line("accept;")
}

// announced adds what routers of the place get beside routes.
func (t *text) announced(asn uint32, a *plan.Announce) {
	t.mark(a.Communities)
	if a.NoExport {
		t.line("bgp_community.add(%s);", noExport)
	}
	for range a.Prepend {
		t.line("bgp_path.prepend(%d);", asn)
	}
}

// mark adds communities.
func (t *text) mark(list []fabric.Community) {
	for _, c := range list {
		attribute := "bgp_community"
		if c.Large() {
			attribute = "bgp_large_community"
		}
		t.line("%s.add((%s));", attribute, strings.ReplaceAll(c.String(), ":", ", "))
	}
}

// originated writes what is said of the gateway's own prefixes.
func (t *text) originated(c *bgp.Config, n *plan.Neighbor) {
	if n.External() {
		t.line("bgp_med = 0;")
	}
	for _, number := range slices.Concat(c.Tags, n.Tags) {
		t.line("bgp_large_community.add(%s);", tag(number))
	}
	t.mark(c.Communities)
}

// learnt writes which of the routes that were learnt are told.
func (t *text) learnt(n *plan.Neighbor) {
	t.line("if source != RTS_BGP then reject;")
	switch n.Tell {
	case plan.TellSpokes:
		t.line("if !defined(from_spoke) then reject;")
	case plan.TellLearnt:
		t.line("if defined(from_router) then reject;") // routers of one place hear each other without us
	}
	t.line("if from_as = %d || bgp_path ~ [= * %d * =] then reject;", n.ASN, n.ASN) // nothing goes back
}

func tag(number uint32) string { return fmt.Sprintf("(%d, 1, %d)", plan.TagASN, number) }

// orLonger writes the prefixes of a family as a set of them and all that are within them.
func orLonger(list []netip.Prefix, bits int) string {
	var parts []string
	for _, p := range list {
		if p.Addr().BitLen() == bits {
			parts = append(parts, p.String()+"+")
		}
	}
	return strings.Join(parts, ", ")
}
