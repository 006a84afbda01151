package intent

import (
	"fmt"
	"net/netip"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
)

// defaultLinks4 lies in the space that carriers share and that no private network should use (RFC 6598).
var defaultLinks4 = netip.MustParsePrefix("100.64.0.0/16")

// A pool is a prefix with the place where it is written; at is zero for a default.
type pool struct {
	prefix netip.Prefix
	at     diag.Position
	name   string // the key that sets it
}

func (r *reader) readPools() {
	links := r.readPool(r.spec.Addressing.Links, "addressing.links")
	devices := r.readPool(r.spec.Addressing.Devices, "addressing.devices")
	four, six := links[0], links[1]
	if !four.prefix.IsValid() {
		four = pool{prefix: defaultLinks4, name: "addressing.links"}
	}
	switch carries := r.fabric.CarriesIPv6(); {
	case carries && !six.prefix.IsValid():
		six = pool{prefix: ula(r.fabric.Name), name: "addressing.links"}
	case !carries && six.prefix.IsValid():
		r.warn("RW1209", six.at, "addressing", fmt.Sprintf("pool %s is not used: no place owns an IPv6 prefix", six.prefix), "remove it, or give places IPv6 prefixes")
		six = pool{}
	}
	r.fabric.Pools = Pools{Links4: four.prefix, Links6: six.prefix}
	all := []pool{four, six}
	for _, d := range devices {
		if d.prefix.IsValid() {
			r.fabric.Pools.Devices = append(r.fabric.Pools.Devices, d.prefix)
			all = append(all, d)
		}
	}
	r.checkPools(all)
	r.checkPoolSizes(four, six)
}

// readPool returns the pool of each family, IPv4 first.
func (r *reader) readPool(texts []fabric.Text, name string) (pools [2]pool) {
	for _, text := range texts {
		prefix, ok := parsed(text)
		if !ok {
			continue
		}
		family := 0
		if prefix.Addr().Is6() {
			family = 1
		}
		if pools[family].prefix.IsValid() {
			r.fail("RW1208", text.At, "addressing", fmt.Sprintf("%s has a second pool of the same family, %s", name, prefix), "one of IPv4 and one of IPv6 at most")
			continue
		}
		if why := Unusable(prefix); why != "" {
			r.fail("RW1205", text.At, "addressing", fmt.Sprintf("pool %s %s", prefix, why), "choose a private prefix that no place owns")
		}
		pools[family] = pool{prefix, text.At, name}
	}
	return pools
}

// checkPools refuses pools that overlap each other or a place's prefix.
func (r *reader) checkPools(all []pool) {
	for i, p := range all {
		if !p.prefix.IsValid() {
			continue
		}
		for _, q := range all[:i] {
			if q.prefix.IsValid() && q.prefix.Overlaps(p.prefix) {
				r.fail("RW1204", p.at, "addressing", fmt.Sprintf("pool %s overlaps the pool %s of %s", p.prefix, q.prefix, q.name), "choose pools that share no address")
			}
		}
		taken := r.owners.within(p.prefix)
		if len(taken) == 0 {
			continue
		}
		more := ""
		if n := len(taken) - 1; n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		first := r.owners.covering(taken[0])
		if p.at.Line > 0 {
			r.fail("RW1204", p.at, "addressing", fmt.Sprintf("pool %s overlaps prefix %s of %s%s", p.prefix, first.prefix, first.place.subject(), more), "choose a pool that no place owns")
		} else {
			r.fail("RW1204", first.at, first.place.subject(), fmt.Sprintf("prefix %s overlaps the default pool %s%s", first.prefix, p.prefix, more), "set "+p.name+" to a prefix that no place owns")
		}
	}
}

// covering returns the whole prefix that a part belongs to.
func (o owners) covering(part owned) owned {
	for _, own := range o {
		if own.at == part.at {
			return own
		}
	}
	return part
}

// checkPoolSizes sees that every gateway gets an address: host numbers go from 1 to the last of the pool.
func (r *reader) checkPoolSizes(pools ...pool) {
	n := len(r.fabric.Gateways())
	for _, p := range pools {
		if !p.prefix.IsValid() {
			continue
		}
		free := p.prefix.Addr().BitLen() - p.prefix.Bits()
		if free < 31 && n > 1<<free-1 {
			r.fail("RW1207", p.at, "addressing", fmt.Sprintf("pool %s has %d addresses for %d gateways", p.prefix, 1<<free-1, n), fmt.Sprintf("take a /%d or larger, and leave room to grow", longest(p.prefix, n)))
		}
	}
}

// longest returns the length of the smallest pool of p's family with more than n host numbers.
func longest(p netip.Prefix, n int) int {
	bits := p.Addr().BitLen()
	for free := range bits {
		if n <= 1<<free-1 {
			return bits - free
		}
	}
	return 0
}
