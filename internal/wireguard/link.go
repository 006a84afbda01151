package wireguard

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ropeway/internal/plan"
	"ropeway/internal/rtnl"
)

// A link is an interface whose name begins with rw, whoever made it.
type link struct {
	rtnl.Link
	Addresses []netip.Prefix // sorted, without link-local ones of IPv6
}

// links returns the interfaces that begin with rw, sorted by name.
func links() ([]link, error) {
	conn, err := rtnl.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	all, err := conn.Links()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	var out []link
	for _, l := range all {
		if strings.HasPrefix(l.Name, Prefix) {
			out = append(out, link{Link: l})
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	if err := rtnl.Again(func() error { return readAddresses(conn, out) }); err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	slices.SortFunc(out, func(a, b link) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func readAddresses(conn *rtnl.Conn, out []link) error {
	for i := range out {
		out[i].Addresses = nil
	}
	err := conn.Dump(func(b *rtnl.Builder) {
		b.Message(unix.RTM_GETADDR, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfAddrmsg))
	}, func(payload []byte) error {
		index, prefix := parseAddress(payload)
		at := slices.IndexFunc(out, func(l link) bool { return l.Index == index })
		if at >= 0 && prefix.IsValid() && (prefix.Addr().Is4() || !prefix.Addr().IsLinkLocalUnicast()) {
			out[at].Addresses = append(out[at].Addresses, prefix)
		}
		return nil
	})
	for _, l := range out {
		slices.SortFunc(l.Addresses, netip.Prefix.Compare)
	}
	return err
}

// parseAddress reads struct ifaddrmsg (family, prefix length, flags, scope, index) and the address that is ours: IFA_LOCAL, and where there is none
// IFA_ADDRESS, which is the other end's where both are given.
func parseAddress(payload []byte) (index int, prefix netip.Prefix) {
	if len(payload) < unix.SizeofIfAddrmsg {
		return 0, prefix
	}
	bits, index := int(payload[1]), int(rtnl.Uint32(payload[4:]))
	rtnl.Attrs(payload[unix.SizeofIfAddrmsg:], func(kind uint16, value []byte) {
		if kind == unix.IFA_LOCAL || kind == unix.IFA_ADDRESS && !prefix.IsValid() {
			if addr, ok := netip.AddrFromSlice(value); ok {
				prefix = netip.PrefixFrom(addr, bits)
			}
		}
	})
	return index, prefix
}

// changeLink carries out a change that concerns the interface and not WireGuard.
func changeLink(index int, c Change) error {
	l := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index, Name: c.Device}}
	switch c.Op {
	case SetMTU:
		return netlink.LinkSetMTU(l, c.Value)
	case SetUp:
		return netlink.LinkSetUp(l)
	case AddAddress:
		return netlink.AddrReplace(l, address(c.Address))
	case DeleteAddress:
		return netlink.AddrDel(l, address(c.Address))
	}
	return nil
}

// address is usable at once: there is nobody on a tunnel to ask whether it is taken.
func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// probeName is for a moment the interface that tells whether the kernel has WireGuard. One that a crash left behind is removed like any device
// that no plan names.
const probeName = Prefix + "probe"

// choose picks the backend of new devices.
func choose(wanted Backend) (Backend, string) {
	if wanted != "" {
		return wanted, "it was asked for"
	}
	l := &netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: probeName}}
	err := netlink.LinkAdd(l)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return Userspace, fmt.Sprintf("the kernel made no interface of type wireguard: %v", err)
	}
	_ = netlink.LinkDel(l)
	return Kernel, "the kernel has WireGuard"
}

// makeKernelDevice makes an interface of type wireguard, down.
func makeKernelDevice(w *plan.Device) error {
	return netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: w.Name, MTU: w.MTU}})
}

// deleteLink deletes an interface; one that is gone is no error.
func deleteLink(index int) error {
	err := netlink.LinkDel(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}})
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) && !linkExists(index) {
		return nil
	}
	return err
}

func linkExists(index int) bool {
	_, err := netlink.LinkByIndex(index)
	return err == nil
}
