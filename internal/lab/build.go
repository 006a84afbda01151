package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"ropeway/internal/lab/netns"
	"ropeway/internal/lab/world"
)

// A site is a world made real: every space open, with a netlink socket into each.
type site struct {
	lab    string
	world  *world.World
	spaces map[string]*space
}

type space struct {
	*netns.Space
	drawn *world.Space
	link  *netlink.Handle
}

// build makes the namespaces and wires of a world and configures them. What it made before a failure stays; demolish finds it.
func build(ctx context.Context, lab string, w *world.World) (*site, error) {
	g, making := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for _, s := range w.Spaces {
		g.Go(func() error {
			if making.Err() != nil {
				return making.Err()
			}
			return netns.Create(spaceName(lab, s.Name), func() error { return setSysctls(freshMachine(s.Kind)) })
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("make the namespaces: %w", err)
	}
	st, err := openSite(lab, w)
	if err != nil {
		return nil, err
	}
	if err := st.wireUp(ctx); err != nil {
		return nil, fmt.Errorf("lay the wires: %w", joinClose(err, st))
	}
	return st, nil
}

// openSite opens what build made.
func openSite(lab string, w *world.World) (*site, error) {
	st := &site{lab, w, make(map[string]*space, len(w.Spaces))}
	for _, drawn := range w.Spaces {
		s, err := openSpace(lab, drawn)
		if err != nil {
			return nil, joinClose(err, st)
		}
		st.spaces[drawn.Name] = s
	}
	return st, nil
}

func openSpace(lab string, drawn *world.Space) (*space, error) {
	ns, err := netns.Open(spaceName(lab, drawn.Name))
	if err != nil {
		return nil, err
	}
	handle, err := netlink.NewHandleAt(vns.NsHandle(ns.FD()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket in %s: %w", drawn.Name, joinClose(err, ns))
	}
	return &space{ns, drawn, handle}, nil
}

// Close gives up the handles. The world stays.
func (st *site) Close() error {
	var first error
	for _, s := range st.spaces {
		s.link.Close()
		if err := s.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// wireUp lays every wire, then configures every space.
func (st *site) wireUp(ctx context.Context) error {
	for i, w := range st.world.Wires {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := st.lay(i, w); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for _, drawn := range st.world.Spaces {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return st.configure(drawn.Name)
		})
	}
	return g.Wait()
}

// lay makes a veth pair with both ends where they belong.
func (st *site) lay(number int, w world.Wire) error {
	a, b := st.spaces[w.A.Space], st.spaces[w.B.Space]
	err := a.link.LinkAdd(&netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: w.A.Interface, MTU: w.MTU, HardwareAddr: hardware(number, 0), TxQLen: -1},
		PeerName:         w.B.Interface,
		PeerHardwareAddr: hardware(number, 1),
		PeerMTU:          uint32(w.MTU),
		PeerNamespace:    netlink.NsFd(b.FD()),
		PeerTxQLen:       -1,
	})
	if err != nil {
		return fmt.Errorf("wire %s to %s: %w", w.A.Space, w.B.Space, err)
	}
	return nil
}

// hardware returns the address of one end of a wire: locally administered (IEEE 802, bit 1 of the first byte), the same every time.
func hardware(wire, end int) net.HardwareAddr {
	return net.HardwareAddr{0x02, 'r', 'w', byte(wire >> 8), byte(wire), byte(end)}
}

// configure gives a space its addresses, neighbours, routes and rules, and raises its interfaces. It does so again after an
// interface went down, which loses most of that; what is there already is left.
func (st *site) configure(name string) error {
	s := st.spaces[name]
	links, err := s.link.LinkList()
	if err != nil {
		return fmt.Errorf("list the interfaces of %s: %w", name, err)
	}
	index := make(map[string]netlink.Link, len(links))
	for _, l := range links {
		index[l.Attrs().Name] = l
	}
	if err := s.link.LinkSetUp(index["lo"]); err != nil {
		return fmt.Errorf("raise lo of %s: %w", name, err)
	}
	for number, w := range st.world.Wires {
		for end, this := range [2]world.End{w.A, w.B} {
			if this.Space != name {
				continue
			}
			other := [2]world.End{w.B, w.A}[end]
			if err := s.attach(index[this.Interface], this, other, hardware(number, 1-end)); err != nil {
				return fmt.Errorf("configure %s of %s: %w", this.Interface, name, err)
			}
		}
	}
	for _, r := range s.drawn.Routes {
		_, other := st.world.End(name, r.Interface)
		if err := s.route(index[r.Interface], r, other); err != nil {
			return fmt.Errorf("route %s in %s: %w", r.Prefix, name, err)
		}
	}
	for _, r := range s.drawn.Rules {
		if err := s.rule(r); err != nil {
			return fmt.Errorf("rule for %s in %s: %w", r.Interface, name, err)
		}
	}
	return nil
}

// attach raises an interface and gives it its addresses. The other end is a permanent neighbour: nothing has to be asked for, so
// no first packet is late, and a large lab does not fill the machine's one table of neighbours (gc_thresh3).
func (s *space) attach(l netlink.Link, this, other world.End, peer net.HardwareAddr) error {
	if err := s.link.LinkSetUp(l); err != nil {
		return fmt.Errorf("raise it: %w", err)
	}
	for _, a := range this.Link {
		if err := s.address(l, netip.PrefixFrom(a, a.BitLen()-1)); err != nil {
			return err
		}
	}
	for _, a := range this.Own {
		if err := s.address(l, netip.PrefixFrom(a, a.BitLen())); err != nil {
			return err
		}
	}
	for _, a := range other.Link {
		n := netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: peer}
		if err := s.link.NeighSet(&n); err != nil {
			return fmt.Errorf("neighbour %s: %w", a, err)
		}
	}
	return nil
}

func (s *space) address(l netlink.Link, p netip.Prefix) error {
	a := netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD}
	if err := s.link.AddrReplace(l, &a); err != nil {
		return fmt.Errorf("address %s: %w", p, err)
	}
	return nil
}

// route sends a prefix to the other end of a wire, by the address that it has in the prefix's family.
func (s *space) route(l netlink.Link, r world.Route, other *world.End) error {
	kernel := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(r.Prefix), Family: familyOf(r.Prefix.Addr())}
	if r.OnLink {
		kernel.Scope = netlink.SCOPE_LINK
	} else {
		kernel.Gw = world.InFamily(other.Link, r.Prefix.Addr()).AsSlice()
	}
	if r.Source.IsValid() {
		kernel.Src = r.Source.AsSlice()
	}
	return s.link.RouteReplace(kernel)
}

// rule makes both families look up a table for what comes in by an interface.
func (s *space) rule(r world.Rule) error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		rule := netlink.NewRule()
		rule.Family, rule.IifName, rule.Table, rule.Priority = family, r.Interface, r.Table, r.Table
		if err := s.link.RuleAdd(rule); err != nil {
			return err
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
