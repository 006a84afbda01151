package lab

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"ropeway/internal/diag"
	"ropeway/internal/lab/world"
)

// Lead makes prefixes lead to a gateway in the route table of its place, as a cloud does that is asked to by a gateway's agent, and returns those that did not. It asks
// for no lock: who holds a lab may be waiting for just this.
func Lead(lab, gateway string, prefixes []netip.Prefix) (changed []netip.Prefix, err error) {
	if err := checkName(lab); err != nil {
		return nil, err
	}
	r, err := readRecord(lab)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(r.World.Wires, func(w world.Wire) bool { return w.B.Space == gateway && w.B.Interface == world.Inside })
	if i < 0 {
		return nil, problem("RW5003", "lab "+lab, "it has no gateway "+diag.Quote(gateway)+" with a router", "ropeway lab status shows its gateways")
	}
	near, far := r.World.Wires[i].A, r.World.Wires[i].B
	router, err := openSpace(lab, r.World.Space(near.Space))
	if err != nil {
		return nil, err
	}
	defer func() {
		router.link.Close()
		_ = router.Close()
	}()
	link, err := router.link.LinkByName(near.Interface)
	if err != nil {
		return nil, fmt.Errorf("find %s of %s: %w", near.Interface, near.Space, err)
	}
	for _, p := range prefixes {
		moved, err := router.lead(link, p, &far)
		if err != nil {
			return changed, fmt.Errorf("make %s of %s lead to %s: %w", p, near.Space, gateway, err)
		}
		if moved {
			changed = append(changed, p)
		}
	}
	return changed, nil
}

// lead makes a prefix lead to the other end of a wire, and reports whether it did not.
func (s *space) lead(link netlink.Link, p netip.Prefix, other *world.End) (moved bool, err error) {
	now, err := s.link.RouteListFiltered(familyOf(p.Addr()), &netlink.Route{Dst: ipNet(p)}, netlink.RT_FILTER_DST)
	if err != nil {
		return false, fmt.Errorf("look for it: %w", err)
	}
	if len(now) == 1 && now[0].LinkIndex == link.Attrs().Index {
		return false, nil
	}
	return true, s.route(link, world.Route{Prefix: p, Interface: link.Attrs().Name}, other)
}
