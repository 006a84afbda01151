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
)

// A link is an interface whose name begins with rw, whoever made it.
type link struct {
	Index     int
	Name      string
	Kind      string // "wireguard", "tun", …
	Up        bool
	MTU       int
	Addresses []netip.Prefix // sorted, without link-local ones of IPv6
}

// attempts bounds how often a dump that changed while it was read is read again.
const attempts = 5

// links returns the interfaces that begin with rw, sorted by name.
func links() ([]link, error) {
	all, err := retry(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	var out []link
	for _, l := range all {
		if a := l.Attrs(); strings.HasPrefix(a.Name, Prefix) {
			addresses, err := addressesOf(l)
			if err != nil {
				return nil, fmt.Errorf("list the addresses of %s: %w", a.Name, err)
			}
			kind := l.Type()
			if kind == "tuntap" { // the library's name for it
				kind = "tun"
			}
			out = append(out, link{a.Index, a.Name, kind, a.Flags&net.FlagUp != 0, a.MTU, addresses})
		}
	}
	slices.SortFunc(out, func(a, b link) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func addressesOf(l netlink.Link) ([]netip.Prefix, error) {
	list, err := retry(func() ([]netlink.Addr, error) { return netlink.AddrList(l, netlink.FAMILY_ALL) })
	var out []netip.Prefix
	for _, a := range list {
		addr, _ := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		if addr = addr.Unmap(); addr.Is4() || !addr.IsLinkLocalUnicast() {
			out = append(out, netip.PrefixFrom(addr, bits))
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out, err
}

// retry reads a dump again where it was changed meanwhile.
func retry[T any](list func() ([]T, error)) (out []T, err error) {
	for range attempts {
		if out, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return out, err
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
