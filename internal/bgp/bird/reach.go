package bird

import (
	"fmt"
	"net"
	"net/netip"

	"ropeway/internal/bgp"
)

// reaches finds how the machine reaches the routers of its place. Nothing is sent for it.
func reaches(c *bgp.Config) (map[netip.Addr]reach, error) {
	found := map[netip.Addr]reach{}
	var near []netip.Prefix
	for _, n := range c.Neighbors {
		if !n.External() {
			continue
		}
		if near == nil {
			var err error
			if near, err = connected(); err != nil {
				return nil, fmt.Errorf("list the machine's addresses: %w", err)
			}
		}
		r := reach{}
		for _, p := range near {
			r.direct = r.direct || !p.IsSingleIP() && p.Contains(n.Address)
		}
		const bgpPort = 179
		if conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(n.Address, bgpPort))); err == nil { // else there is no way to it yet
			if local, ok := conn.LocalAddr().(*net.UDPAddr); ok {
				r.local = local.AddrPort().Addr().Unmap().WithZone("")
			}
			_ = conn.Close()
		}
		found[n.Address] = r
	}
	return found, nil
}

// connected lists the prefixes of the machine's interfaces.
func connected() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	list := []netip.Prefix{}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p)
		}
	}
	return list, nil
}
