package plan

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"unsafe"

	"ropeway/internal/key"
)

// Same reports whether two plans of a gateway say the same; nil is no plan. Compare tells what differs, in words; this is for thousands of them.
func Same(a, b *Gateway) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	return a.Name == b.Name && a.Place == b.Place && slices.EqualFunc(a.Devices, b.Devices, sameDevice) &&
		slices.EqualFunc(a.Routes, b.Routes, sameRoute) && sameFirewall(&a.Firewall, &b.Firewall) && slices.Equal(a.Sysctls, b.Sysctls) &&
		sameSpeaker(a.BGP, b.BGP)
}

// sameSpeaker compares daemons by their text: a daemon has fewer neighbours and prefixes than a gateway of a static fabric has routes.
func sameSpeaker(a, b *BGP) bool { return a == b || bytes.Equal(encoded(a), encoded(b)) }

func sameDevice(a, b Device) bool {
	return a.Name == b.Name && a.ListenPort == b.ListenPort && a.MTU == b.MTU && a.PublicKey == b.PublicKey &&
		slices.Equal(a.Addresses, b.Addresses) && slices.EqualFunc(a.Peers, b.Peers, samePeer)
}

func samePeer(a, b *Peer) bool {
	return a == b || a.Gateway == b.Gateway && a.PublicKey == b.PublicKey && a.Endpoint == b.Endpoint && a.Keepalive == b.Keepalive &&
		a.MTU == b.MTU && a.Underlay == b.Underlay && a.Overhead == b.Overhead && a.Standby == b.Standby && sameList(a.AllowedIPs, b.AllowedIPs)
}

func sameRoute(a, b *Route) bool {
	return a == b || a.Device == b.Device && a.Peer == b.Peer && a.MTU == b.MTU && sameList(a.Prefixes, b.Prefixes)
}

func sameFirewall(a, b *Firewall) bool {
	return sameList(a.Own, b.Own) && sameList(a.Fabric, b.Fabric) && slices.Equal(a.Answers, b.Answers) && slices.EqualFunc(a.Rules, b.Rules, func(x, y Rule) bool {
		return x.ID == y.ID && x.Direction == y.Direction && sameList(x.From, y.From) && sameList(x.To, y.To) && slices.Equal(x.Services, y.Services)
	})
}

// sameList compares lists, most of which are shared.
func sameList(a, b []netip.Prefix) bool {
	return len(a) == len(b) && (unsafe.SliceData(a) == unsafe.SliceData(b) || slices.Equal(a, b))
}

// Joined reports whether two gateways that are as these plans say can have a session: each has the other as a peer, by its key and with its
// tunnel addresses, and one at least knows where the other is.
func Joined(a, b *Gateway) bool {
	for i := range a.Devices {
		for j := range b.Devices {
			x, y := &a.Devices[i], &b.Devices[j]
			there, back := x.peer(b.Name, y), y.peer(a.Name, x)
			if there != nil && back != nil && !(there.Endpoint.IsZero() && back.Endpoint.IsZero()) {
				return true
			}
		}
	}
	return false
}

// peer returns the peer that is a device of another gateway, or nil.
func (d *Device) peer(gateway string, other *Device) *Peer {
	at, found := slices.BinarySearchFunc(d.Peers, gateway, func(p *Peer, name string) int { return strings.Compare(p.Gateway, name) })
	if !found || other.PublicKey == (key.Public{}) || d.Peers[at].PublicKey != other.PublicKey {
		return nil
	}
	for _, address := range other.Addresses {
		if !slices.Contains(d.Peers[at].AllowedIPs, address) {
			return nil
		}
	}
	return d.Peers[at]
}

// TunnelAddresses returns the IPv4 addresses of gateways that the prefixes of a peer hold: its own, and those of gateways beyond it. No place owns
// an address that a tunnel has.
func (g *Gateway) TunnelAddresses(p *Peer) []netip.Addr {
	var out []netip.Addr
	for _, a := range p.AllowedIPs {
		owned := func(own netip.Prefix) bool { return own.Contains(a.Addr()) }
		if a.Addr().Is4() && a.IsSingleIP() && !slices.ContainsFunc(g.Firewall.Fabric, owned) {
			out = append(out, a.Addr())
		}
	}
	return out
}
