package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"

	"ropeway/internal/lab/world"
)

// refuseFragments makes the core carry no fragments, as many networks do not. A tunnel's packet that is too big for its path is lost
// then, whether the gateway's kernel forbids to fragment it, has learned from ICMP to do so itself, or leaves it to the core.
// The prover promises no more either. The rules are on the way out, where even a batch that the kernel carries as one packet
// (GSO) has become what the wire sees.
func (st *site) refuseFragments(ctx context.Context) error {
	var ifaces []string
	for _, r := range st.spaces[world.CoreSpace].drawn.Rules {
		ifaces = append(ifaces, r.Interface)
	}
	return st.nft(ctx, world.CoreSpace, fmt.Sprintf(`table netdev fragments {
	chain out {
		type filter hook egress devices = { %s } priority filter
		ip frag-off & 0x3fff != 0 drop
		ip6 nexthdr ipv6-frag drop
	}
}
`, strings.Join(ifaces, ", ")))
}

// setUnderlay makes the underlay what it is while faults last.
func (st *site) setUnderlay(ctx context.Context, faults []Fault) error {
	if err := st.setPaths(pathsUnder(st.world.Paths, faults)); err != nil {
		return err
	}
	done := map[string]bool{}
	for _, e := range st.world.Edges {
		for _, space := range []string{world.CoreSpace, e.Space} {
			if done[space] {
				continue
			}
			done[space] = true
			if err := st.nft(ctx, space, filterTable(st.world, space, faults)); err != nil {
				return err
			}
		}
	}
	return nil
}

// forgetPaths makes every gateway and box forget what ICMP has told it of the underlay. A kernel remembers that for ten minutes
// (net/ipv4/route/mtu_expires); a fault that is mended is to be over at once. IPv6 keeps it with the route that was used, and
// loses it when that one is replaced.
func (st *site) forgetPaths() error {
	for _, s := range st.spaces {
		if s.drawn.Kind != world.Gateway && s.drawn.Kind != world.NAT {
			continue
		}
		if err := s.Do(func() error { return setSysctls(map[string]string{"net/ipv4/route/flush": "1"}) }); err != nil {
			return fmt.Errorf("flush the routes of %s: %w", s.drawn.Name, err)
		}
		link, err := s.link.LinkByName(world.Uplink)
		if err != nil {
			return fmt.Errorf("find %s of %s: %w", world.Uplink, s.drawn.Name, err)
		}
		if link.Attrs().Flags&net.FlagUp == 0 {
			continue // a dead machine remembers nothing
		}
		for _, r := range s.drawn.Routes {
			if r.Interface != world.Uplink || r.Prefix.Addr().Is4() {
				continue
			}
			_, other := st.world.End(s.drawn.Name, r.Interface)
			if err := s.route(link, r, other); err != nil {
				return fmt.Errorf("renew %s of %s: %w", r.Prefix, s.drawn.Name, err)
			}
		}
	}
	return nil
}

// setPaths makes the core carry, from each place to each other, what paths say. Every address of the far place's gateways has a
// route with that MTU in the table of the near place; IPv6 forwards by a route's MTU only where it is locked.
func (st *site) setPaths(paths []world.Path) error {
	core := st.spaces[world.CoreSpace]
	links, err := core.link.LinkList()
	if err != nil {
		return fmt.Errorf("list the interfaces of the core: %w", err)
	}
	index := make(map[string]int, len(links))
	for _, l := range links {
		index[l.Attrs().Name] = l.Attrs().Index
	}
	for _, p := range paths {
		for _, e := range st.world.Edges {
			if e.Place != p.To {
				continue
			}
			_, far := st.world.End(world.CoreSpace, e.Core)
			for _, outer := range e.Outer {
				err := core.link.RouteReplace(&netlink.Route{
					Table: p.Table, LinkIndex: index[e.Core], Family: familyOf(outer),
					Dst: ipNet(netip.PrefixFrom(outer, outer.BitLen())),
					Gw:  world.InFamily(far.Link, outer).AsSlice(),
					MTU: p.MTU, MTULock: true,
				})
				if err != nil {
					return fmt.Errorf("route %s to %s with MTU %d: %w", p.From, outer, p.MTU, err)
				}
			}
		}
	}
	return nil
}

// translate makes the boxes do what they are for.
func (st *site) translate(ctx context.Context) error {
	for _, box := range st.world.Of(world.NAT) {
		if err := st.nft(ctx, box.Name, natTable(box)); err != nil {
			return err
		}
	}
	return nil
}

// natTable is the ruleset of a box: sources become the address that the world knows, ports that others dial lead inside, and
// whatever else knocks gets no answer.
func natTable(box *world.Space) string {
	var dstnat, srcnat strings.Builder
	for _, f := range box.Forward {
		for i, outer := range f.Outer {
			for _, p := range f.Ports {
				fmt.Fprintf(&dstnat, "\t\t%s daddr %s udp dport %d dnat %s to %s\n",
					nftFamily(outer), outer, p.Outer, nftFamily(outer), netip.AddrPortFrom(f.Inner[i], p.Inner))
			}
			fmt.Fprintf(&srcnat, "\t\tiifname %s oifname %s meta nfproto %s snat %s to %s\n",
				f.Interface, world.Uplink, nftProto(outer), nftFamily(outer), outer)
		}
	}
	return fmt.Sprintf(`table inet lab
delete table inet lab
table inet lab {
	chain dstnat {
		type nat hook prerouting priority dstnat
%s	}
	chain srcnat {
		type nat hook postrouting priority srcnat
%s	}
	chain input {
		type filter hook input priority filter
		meta l4proto udp drop
	}
}
`, &dstnat, &srcnat)
}

func nftFamily(a netip.Addr) string {
	if a.Is4() {
		return "ip"
	}
	return "ip6"
}

func nftProto(a netip.Addr) string {
	if a.Is4() {
		return "ipv4"
	}
	return "ipv6"
}

// nft loads a ruleset into a space, all or nothing.
func (st *site) nft(ctx context.Context, name, ruleset string) error {
	return st.spaces[name].Do(func() error {
		cmd := exec.CommandContext(ctx, "nft", "-f", "-")
		cmd.Stdin = strings.NewReader(ruleset)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("load the ruleset of %s: %w: %s", name, err, strings.TrimSpace(stderr.String()))
		}
		return nil
	})
}
