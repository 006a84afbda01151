package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ropeway/internal/lab/world"
	"ropeway/internal/plan"
	"ropeway/internal/verify"
)

// What a list of faults comes to. Everything here is pure: the lab's machines are set to what these functions return, and the
// prover is told the same.

// facts is what the prover is told of faults. A dropped route is none of them: it is in the plan (see planUnder).
func facts(w *world.World, faults []Fault) verify.Facts {
	var out verify.Facts
	for _, f := range faults {
		switch f.Kind {
		case GatewayKill, GatewayFreeze:
			out.Down = append(out.Down, f.A)
		case LinkCut, LinkOneWay: // a session needs both directions: what still passes one way ends with its keys, after 3 minutes (WireGuard whitepaper, section 6.2)
			out.Cut = append(out.Cut, verify.Link{A: f.A, B: f.B})
		case UnderlayMTU:
			// The last word on a pair counts; the prover would take the smallest.
			out.Underlay = slices.DeleteFunc(out.Underlay, func(u verify.Underlay) bool {
				return u.A == f.A && u.B == f.B || u.A == f.B && u.B == f.A
			})
			out.Underlay = append(out.Underlay, verify.Underlay{A: f.A, B: f.B, MTU: f.MTU})
		case ICMPBlock:
			out.NoICMP = true
		case RegionPartition:
			for _, p := range w.Paths {
				if p.From == f.A {
					out.Cut = append(out.Cut, verify.Link{A: p.From, B: p.To})
				}
			}
		}
	}
	return out
}

// planUnder returns the plan as the gateways really hold it while faults last. The argument is left alone.
func planUnder(p *plan.Fabric, faults []Fault) *plan.Fabric {
	for _, f := range faults {
		if f.Kind == RouteDrop {
			p = withoutRoute(p, f.A, f.Prefix)
		}
	}
	return p
}

func withoutRoute(p *plan.Fabric, gateway string, prefix netip.Prefix) *plan.Fabric {
	out := *p
	out.Gateways = slices.Clone(p.Gateways)
	for i, g := range out.Gateways {
		if g.Name != gateway {
			continue
		}
		changed := *g
		changed.Routes = nil
		for _, r := range g.Routes {
			group := *r
			group.Prefixes = slices.DeleteFunc(slices.Clone(r.Prefixes), func(q netip.Prefix) bool { return q == prefix })
			if len(group.Prefixes) > 0 {
				changed.Routes = append(changed.Routes, &group)
			}
		}
		out.Gateways[i] = &changed
	}
	return &out
}

// believed is what the prover is asked about.
func (l *Lab) believed(opts TestOptions) (verify.Facts, *plan.Fabric, error) {
	if opts.IgnoreFaults {
		return verify.Facts{}, l.record.Plan, nil
	}
	return l.believedUnder(l.record.Faults)
}

// believedUnder is what the prover is asked about if these were the faults.
func (l *Lab) believedUnder(faults []Fault) (verify.Facts, *plan.Fabric, error) {
	p, err := l.held()
	if err != nil {
		return verify.Facts{}, nil, err
	}
	return facts(l.record.World, faults), planUnder(p, faults), nil
}

// pathsUnder returns what the underlay carries while faults last.
func pathsUnder(paths []world.Path, faults []Fault) []world.Path {
	out := slices.Clone(paths)
	for _, f := range faults {
		if f.Kind != UnderlayMTU {
			continue
		}
		for i, p := range out {
			if p.From == f.A && p.To == f.B || p.From == f.B && p.To == f.A {
				out[i].MTU = f.MTU
			}
		}
	}
	return out
}

// filterTable is the ruleset of a space of the underlay that gateways meet at, the core or a box, while faults last. A rule names a
// gateway by its interface and the peer by its address, which nothing on this side of the way changes.
func filterTable(w *world.World, space string, faults []Fault) string {
	var cuts, icmp strings.Builder
	for _, f := range faults {
		switch {
		case f.Kind == ICMPBlock && f.A == "" && space == world.CoreSpace:
			icmp.WriteString("\t\tmeta l4proto icmp drop\n")
			icmp.WriteString("\t\ticmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request, echo-reply } drop\n")
		case f.Kind == ControllerPartition && space == world.CoreSpace:
			for _, s := range w.Controllers() {
				if s.Name == f.A {
					apart(&cuts, []string{s.Core})
				}
			}
		case f.Kind == RegionPartition && space == world.CoreSpace:
			apart(&cuts, w.Ways(f.A))
		case f.Kind == LinkCut, f.Kind == LinkOneWay, f.Kind == ICMPBlock:
			f.eachPair(w, func(near, far world.Edge) {
				begins := near.Gateway == f.A || near.Place == f.A // at the first of the two names
				switch {
				case f.Kind != ICMPBlock && near.Space == space:
					cutRules(&cuts, near, far, f.Kind == LinkCut || begins, f.Kind == LinkCut || !begins)
				case f.Kind == ICMPBlock && space == world.CoreSpace:
					icmpRules(&icmp, near, far)
				}
			})
		}
	}
	return fmt.Sprintf(`table inet faults
delete table inet faults
table inet faults {
	chain forward {
		type filter hook forward priority filter
%[1]s%[2]s	}
	chain output {
		type filter hook output priority filter
%[2]s	}
}
`, &cuts, &icmp)
}

// eachPair calls do for every ordered pair of gateways that a fault stands between: of the two names, or of the two places.
func (f *Fault) eachPair(w *world.World, do func(near, far world.Edge)) {
	for _, x := range w.Edges {
		for _, y := range w.Edges {
			names := x.Gateway == f.A && y.Gateway == f.B || x.Gateway == f.B && y.Gateway == f.A
			places := x.Place == f.A && y.Place == f.B || x.Place == f.B && y.Place == f.A
			if x.Gateway != y.Gateway && (names || places && x.Place != y.Place) {
				do(x, y)
			}
		}
	}
}

// apart drops what would pass between some interfaces of the core and all others.
func apart(b *strings.Builder, ifaces []string) {
	set := "{ " + strings.Join(ifaces, ", ") + " }"
	fmt.Fprintf(b, "\t\tiifname %s oifname != %s drop\n", set, set)
	fmt.Fprintf(b, "\t\tiifname != %s oifname %s drop\n", set, set)
}

// cutRules drops what a gateway sends to a peer, what it would get from it, or both.
func cutRules(b *strings.Builder, near, far world.Edge, sent, received bool) {
	for _, outer := range far.Outer {
		if sent {
			fmt.Fprintf(b, "\t\tiifname %s %s daddr %s drop\n", near.Interface, nftFamily(outer), outer)
		}
		if received {
			fmt.Fprintf(b, "\t\toifname %s %s saddr %s drop\n", near.Interface, nftFamily(outer), outer)
		}
	}
}

// icmpRules drops the ICMP errors that tell a gateway of its packets to a peer. Such an error repeats the head of the packet that it
// is about; the peer is that one's destination, 16 bytes into an IPv4 header and 24 into one of IPv6, after 8 bytes of ICMP.
func icmpRules(b *strings.Builder, near, far world.Edge) {
	for _, outer := range far.Outer {
		proto, offset := "icmp", 8+16
		if outer.Is6() {
			proto, offset = "ipv6-icmp", 8+24
		}
		fmt.Fprintf(b, "\t\toifname %s meta l4proto %s @th,%d,%d 0x%x drop\n", near.Core, proto, offset*8, outer.BitLen(), outer.AsSlice())
	}
}
