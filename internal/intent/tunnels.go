package intent

import (
	"fmt"
	"slices"

	"ropeway/internal/diag"
	"ropeway/internal/prefixes"
)

// manyCores is from how many vCPUs on EC2 gives an instance a share of its network to other regions and the internet; below, it is 5 Gbit/s in all, which is
// what one flow may have (Amazon EC2 User Guide, "Amazon EC2 instance network bandwidth").
const (
	manyCores = 32
	ec2       = "aws"
)

// checkTunnels warns of parallel tunnels that carry no more than fewer would, as far as the file tells.
func (r *reader) checkTunnels() {
	for l := range r.fabric.Joined() {
		if l.Tunnels < 2 {
			continue
		}
		at := l.Position
		if at.Line == 0 {
			at = r.spec.Routing.At
		}
		r.checkParallel(l, at)
	}
}

// checkParallel says the first reason that applies to the tunnels of a link.
func (r *reader) checkParallel(l Link, at diag.Position) {
	subject := fmt.Sprintf("%d tunnels between %s and %s", l.Tunnels, l.A.Name, l.B.Name)
	if !l.A.Hub && !l.B.Hub && !r.fabric.permits(l.A, l.B) {
		r.warn("RW1520", at, subject, "access lets nothing through between the two, so there is nothing to share", "write tunnels: 1 for the link, or an access entry")
		return
	}
	for _, p := range []*Place{l.A, l.B} {
		for _, g := range p.Gateways {
			switch {
			case g.Cores > 0 && g.Cores < l.Tunnels:
				r.warn("RW1520", at, subject, fmt.Sprintf("a tunnel keeps one core busy, and %s has %d: more tunnels than that carry no more", g.Name, g.Cores),
					fmt.Sprintf("write tunnels: %d for the link", g.Cores))
				return
			case g.Cores > 0 && g.Cores < manyCores && p.Provider == ec2:
				r.warn("RW1520", at, subject, fmt.Sprintf("EC2 gives %s, which has fewer than %d vCPUs, 5 Gbit/s to other regions in all, and one tunnel may have that", g.Name, manyCores),
					"write tunnels: 1 for the link, or take a larger instance")
				return
			}
		}
	}
}

// permits reports whether an access entry lets one of two places open flows to the other.
func (f *Fabric) permits(a, b *Place) bool {
	atA, atB := prefixes.Normal(a.Prefixes), prefixes.Normal(b.Prefixes)
	return slices.ContainsFunc(f.Access, func(entry Access) bool {
		from, to := entry.From.Prefixes, entry.To.Prefixes
		return prefixes.Overlaps(from, atA) && prefixes.Overlaps(to, atB) || prefixes.Overlaps(from, atB) && prefixes.Overlaps(to, atA)
	})
}
