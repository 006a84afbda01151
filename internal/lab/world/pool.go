package world

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"

	"ropeway/internal/diag"
	"ropeway/internal/intent"
)

// spare returns where the lab takes its own IPv4 addresses from, first choice first: ranges that no fabric should use before those
// that it may. RFC 2544 (benchmarks), RFC 6598, RFC 1918, and class E, which Linux treats as unicast.
func spare() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("198.18.0.0/15"),
		netip.MustParsePrefix("100.64.0.0/10"),
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("240.0.0.0/5"),
	}
}

const (
	poolBits4 = 18  // 8,192 wires
	poolBits6 = 64  // of an address below fd00::/8 (RFC 4193)
	maxULA    = 256 // tries; two fabrics never clash 256 times
)

// A pool hands out pairs of addresses for wires.
type pool struct{ next4, next6 netip.Addr }

// newPool finds room that overlaps nothing that the fabric knows: no prefix, no pool, no endpoint.
func newPool(in *intent.Fabric) (*pool, error) {
	taken := slices.Concat([]netip.Prefix{in.Pools.Links4, in.Pools.Links6}, in.Pools.Devices)
	for _, p := range in.Places {
		taken = append(taken, p.Prefixes...)
		for _, g := range p.Gateways {
			if addr, ok := g.Endpoint.Addr(); ok {
				taken = append(taken, netip.PrefixFrom(addr, addr.BitLen()))
			}
		}
	}
	free := func(p netip.Prefix) bool {
		return !slices.ContainsFunc(taken, func(t netip.Prefix) bool { return t.IsValid() && t.Overlaps(p) })
	}
	four, ok4 := spare4(free)
	six, ok6 := spareULA(in.Name, free)
	if !ok4 || !ok6 {
		return nil, diag.Problem{Code: "RW5001", Severity: diag.Error, Subject: "fabric " + in.Name,
			Message: "the fabric leaves no room for the addresses of the lab's own wires",
			Hint:    fmt.Sprintf("leave one IPv4 /%d of %v alone", poolBits4, spare())}
	}
	return &pool{four.Addr(), six.Addr()}, nil
}

func spare4(free func(netip.Prefix) bool) (netip.Prefix, bool) {
	for _, wide := range spare() {
		for p := netip.PrefixFrom(wide.Addr(), poolBits4); wide.Contains(p.Addr()); p = after(p) {
			if free(p) {
				return p, true
			}
		}
	}
	return netip.Prefix{}, false
}

// after returns the prefix of the same length that follows an IPv4 one.
func after(p netip.Prefix) netip.Prefix {
	b := p.Addr().As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	n += 1 << (32 - p.Bits())
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), p.Bits())
}

func spareULA(name string, free func(netip.Prefix) bool) (netip.Prefix, bool) {
	sum := sha256.Sum256([]byte("ropeway lab " + name))
	for i := range maxULA {
		b := [16]byte{0: 0xfd}
		copy(b[1:8], sum[:7])
		b[7] ^= byte(i)
		if p := netip.PrefixFrom(netip.AddrFrom16(b), poolBits6); free(p) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// pair returns the two addresses of an IPv4 /31 (RFC 3021).
func (p *pool) pair4() (a, b netip.Addr) {
	a, b = p.next4, p.next4.Next()
	p.next4 = b.Next()
	return a, b
}

// pair6 returns the two addresses of an IPv6 /127 (RFC 6164).
func (p *pool) pair6() (a, b netip.Addr) {
	a, b = p.next6, p.next6.Next()
	p.next6 = b.Next()
	return a, b
}

// both returns a pair of each family.
func (p *pool) both() (a, b []netip.Addr) {
	a4, b4 := p.pair4()
	a6, b6 := p.pair6()
	return []netip.Addr{a4, a6}, []netip.Addr{b4, b6}
}
