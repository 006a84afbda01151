package firewall

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"ropeway/internal/plan"
)

// Names of the sets of neighbours; the family follows: bgp4, bgp6.
const (
	setBGP = "bgp"
	setBFD = "bfd"
)

// Ports of routing sessions.
const (
	portBGP = 179  // RFC 4271, section 8.2.1
	portBFD = 3784 // single hop; RFC 5881, section 4. It wants 49152 to 65535 as the source; BIRD on Linux takes what the kernel gives.
)

// toDaemon lets in what opens a session of the routing daemon: BGP and, where the neighbour is watched by it, BFD, on the link of the neighbour, from its
// end to ours. Whoever of the two opens BGP, what the other answers is established. A neighbour on no device of the fabric is not Ropeway's matter.
func (b *builder) toDaemon(bgp *plan.BGP) []rule {
	if bgp == nil {
		return nil
	}
	open := service{proto: protocol{unix.IPPROTO_TCP, "tcp"}, ports: portRange{portBGP, portBGP}}
	watch := service{proto: protocol{unix.IPPROTO_UDP, "udp"}, ports: portRange{portBFD, portBFD}}
	var out []rule
	for _, of := range []struct {
		set, comment string
		who          func(*plan.Neighbor) bool
		what         []statement
	}{
		{setBGP, "BGP", func(*plan.Neighbor) bool { return true }, []statement{open}},
		{setBFD, "BFD", func(n *plan.Neighbor) bool { return n.BFD != nil }, []statement{watch}},
	} {
		for _, k := range families() {
			kind := map[kind]kind{ipv4: ends4, ipv6: ends6}[k]
			links := linkSpans(bgp.Neighbors, kind, of.who)
			if links.len() == 0 {
				continue
			}
			set := b.addSet(newSet(of.set+digit(k), kind, links))
			out = append(out, rule{append(append([]statement{link{set}}, of.what...), verdict{code: accept}), of.comment})
		}
	}
	return out
}

// linkSpans returns the links of those neighbours, of one family, as elements: the device, the address of the other end, and that of this one.
func linkSpans(list []*plan.Neighbor, k kind, who func(*plan.Neighbor) bool) spans {
	var keys [][]byte
	for _, n := range list {
		if n.External() || n.Address.Is4() != (k == ends4) || n.Local.Is4() != n.Address.Is4() || !who(n) {
			continue
		}
		key := make([]byte, names.size(), k.size())
		copy(key[:len(key)-1], n.Device)
		keys = append(keys, append(append(key, n.Address.AsSlice()...), n.Local.AsSlice()...))
	}
	return singles(keys, k)
}

// linkText writes the element of a set of links as nft does.
func linkText(key []byte) string {
	size := names.size()
	ends := key[size:]
	from, _ := netip.AddrFromSlice(ends[:len(ends)/2])
	to, _ := netip.AddrFromSlice(ends[len(ends)/2:])
	return span{key[:size], key[:size]}.text(names) + " . " + from.String() + " . " + to.String()
}

// link matches a packet that came over a link from its other end to this one.
type link struct{ set *set }

func (l link) text() string {
	if l.set.kind == ends6 {
		return "iifname . ip6 saddr . ip6 daddr " + in(l.set, false)
	}
	return "iifname . ip saddr . ip daddr " + in(l.set, false)
}

func (l link) encode(e *encoder) {
	family, offset, size := byte(unix.NFPROTO_IPV4), uint32(12), uint32(4) // RFC 791
	if l.set.kind == ends6 {
		family, offset, size = unix.NFPROTO_IPV6, 8, 16 // RFC 8200
	}
	e.needFamily(family)
	e.meta(unix.NFT_META_IIFNAME)
	at := uint32(names.size())
	e.payloadAt(at, unix.NFT_PAYLOAD_NETWORK_HEADER, offset, size)
	e.payloadAt(at+size, unix.NFT_PAYLOAD_NETWORK_HEADER, offset+size, size)
	e.lookup(l.set, false)
}
