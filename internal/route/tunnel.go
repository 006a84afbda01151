package route

import (
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
)

// ByTunnel reports whether the kernel would send packets for an address by a device of Ropeway's, whoever made the route.
func (*Client) ByTunnel(a netip.Addr) bool {
	routes, err := netlink.RouteGet(a.AsSlice())
	if err != nil || len(routes) == 0 {
		return false
	}
	link, err := netlink.LinkByIndex(routes[0].LinkIndex)
	return err == nil && strings.HasPrefix(link.Attrs().Name, devicePrefix)
}
