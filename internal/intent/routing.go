package intent

import (
	"fmt"
	"math"
	"net/netip"
	"slices"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/prefixes"
)

// Defaults of the mode bgp. Three times 300 ms is what AWS accepts at the least (Direct Connect, VPC route server), and what did not flap on a busy machine of two
// cores where three times 100 ms did.
const (
	defaultInterval   = 300
	defaultMultiplier = 3
	hasty             = 200 // milliseconds below which a busy machine of few cores loses neighbours that are there
)

// FirstASN is the first AS number that is given out: the private range of four bytes (RFC 6996) begins before it. A place gets it plus its ordinal.
const (
	FirstASN uint32 = 4200000001
	lastASN  uint32 = FirstASN + math.MaxUint16
)

// readRouting finds out how routes come about.
func (r *reader) readRouting() {
	w := &r.spec.Routing
	r.fabric.Routing = Routing{Mode: fabric.Static}
	if w.Mode.Value != string(fabric.BGP) {
		r.staticOnly(w.Daemon.At, "routing", "daemon")
		r.staticOnly(w.BFD.At, "routing", "bfd")
		r.staticOnly(w.Tunnels.At, "routing", "tunnels")
		return
	}
	routing := Routing{Mode: fabric.BGP, Daemon: fabric.FRR, BFD: BFD{defaultInterval, defaultMultiplier}, Tunnels: 1}
	if w.Daemon.Given() {
		routing.Daemon = fabric.Daemon(w.Daemon.Value)
	}
	if w.Tunnels.Given() {
		routing.Tunnels = w.Tunnels.Value
	}
	if ms, err := fabric.ParseInterval(w.BFD.Interval.Value); err == nil {
		routing.BFD.Interval = ms
		if ms < hasty {
			r.warn("RW1506", w.BFD.Interval.At, "routing", fmt.Sprintf("BFD every %d ms loses neighbours that are there when tunnels fill two cores", ms),
				fmt.Sprintf("write %dms, unless gateways have cores to spare", defaultInterval))
		}
	}
	if w.BFD.Multiplier.Given() {
		routing.BFD.Multiplier = w.BFD.Multiplier.Value
	}
	r.fabric.Routing = routing
}

// staticOnly refuses a key that means nothing with static routing.
func (r *reader) staticOnly(at diag.Position, subject, key string) {
	if at.Line > 0 && r.fabric.Routing.Mode == fabric.Static {
		r.fail("RW1507", at, subject, key+" is for the routing mode bgp, and routing is static here", "write routing: {mode: bgp}, or remove "+key)
	}
}

// readSpeakers reads what is said of BGP in places and links, and sees that everybody has a number, a name and an address of his own.
func (r *reader) readSpeakers() {
	for i, w := range r.spec.Links {
		subject := fmt.Sprintf("link %d", i+1)
		r.staticOnly(w.Tunnels.At, subject, "tunnels")
		r.staticOnly(w.Path.At, subject, "path")
	}
	numbers := map[uint32]string{}
	for _, p := range r.fabric.Places {
		r.readASN(p, numbers)
		p.Communities = r.readCommunities(r.written[p].Communities, p.subject())
		if len(p.Communities) > 0 {
			r.staticOnly(r.written[p].Communities[0].At, p.subject(), "communities")
		}
	}
	taken := map[string]string{}
	for _, g := range r.fabric.Gateways() {
		taken[g.Name] = called("gateway", g.Name)
	}
	for _, p := range r.fabric.Places {
		r.readRouters(p, numbers, taken)
		r.hearBothFamilies(p)
		r.readTakeOver(p)
	}
	r.checkLinkPools()
}

func (r *reader) readASN(p *Place, numbers map[uint32]string) {
	w := r.written[p].ASN
	if !w.Given() {
		return
	}
	r.staticOnly(w.At, p.subject(), "asn")
	p.ASN = uint32(w.Value)
	other, taken := numbers[p.ASN]
	switch {
	case taken:
		r.fail("RW1504", w.At, p.subject(), fmt.Sprintf("AS number %d is that of %s, too", p.ASN, other), "each place has one of its own")
	case p.ASN >= FirstASN && p.ASN <= lastASN:
		r.fail("RW1504", w.At, p.subject(), fmt.Sprintf("AS number %d is one that Ropeway gives out", p.ASN), fmt.Sprintf("take one outside %d-%d, or none", FirstASN, lastASN))
	}
	numbers[p.ASN] = p.subject()
}

// readCommunities reads marks of routes.
func (r *reader) readCommunities(list []fabric.Text, subject string) (out []fabric.Community) {
	for _, text := range list {
		c, err := fabric.ParseCommunity(text.Value)
		switch {
		case err != nil: // Parse reported it
		case slices.Contains(out, c):
			r.fail("RW1509", text.At, subject, fmt.Sprintf("community %s stands here a second time", c), "name it once")
		default:
			out = append(out, c)
		}
	}
	slices.SortFunc(out, fabric.Community.Compare)
	return out
}

// readRouters reads the routers of a place.
func (r *reader) readRouters(p *Place, numbers map[uint32]string, taken map[string]string) {
	list := r.written[p].Routers
	if len(list) > 0 {
		r.staticOnly(list[0].At, p.subject(), "neighbors")
	}
	addresses := map[netip.Addr]bool{}
	for i := range list {
		w := &list[i]
		subject := called("neighbor", w.Name.Value)
		n := Router{Name: w.Name.Value, ASN: uint32(w.ASN.Value), Password: w.Password.Value, Position: w.At}
		if other, is := taken[n.Name]; is && w.Name.Given() {
			r.fail("RW1102", w.Name.At, subject, "the name is that of "+other, "choose another")
		}
		taken[n.Name] = subject
		if other, is := numbers[n.ASN]; is && w.ASN.Given() {
			r.fail("RW1504", w.ASN.At, subject, fmt.Sprintf("AS number %d is that of %s, and routes that have passed there would be taken for loops", n.ASN, other), "give the place or the router another")
		}
		if w.ASN.Given() && n.ASN >= FirstASN && n.ASN <= lastASN {
			r.fail("RW1504", w.ASN.At, subject, fmt.Sprintf("AS number %d is one that Ropeway gives out", n.ASN), fmt.Sprintf("take one outside %d-%d", FirstASN, lastASN))
		}
		if addr, err := netip.ParseAddr(w.Address.Value); err == nil && !addr.Is4In6() {
			n.Address = addr
			own := func(x netip.Prefix) bool { return x.Contains(addr) }
			switch {
			case addresses[addr]:
				r.fail("RW1505", w.Address.At, subject, fmt.Sprintf("%s is another neighbor's address, too", addr), "give one of them another")
			case !slices.ContainsFunc(p.Prefixes, own) && !r.partial:
				r.fail("RW1505", w.Address.At, subject, fmt.Sprintf("%s is not within the prefixes of %s", addr, p.subject()), "give its address on the LAN of the gateways")
			}
			addresses[addr] = true
		}
		n.Accept = r.accepted(p, w, subject, n.Address)
		n.Announce = Announcement{r.readCommunities(w.Announce.Communities, subject), w.Announce.Prepend.Value, w.Announce.NoExport.Value}
		p.Routers = append(p.Routers, n)
	}
}

// hearBothFamilies warns of routers that learn nothing of one family. A session carries the routes of its own, and a place whose routers speak has no other route table.
func (r *reader) hearBothFamilies(p *Place) {
	if len(p.Routers) == 0 || r.partial {
		return
	}
	for _, is6 := range []bool{false, true} {
		of := func(x netip.Prefix) bool { return x.Addr().Is6() == is6 }
		heard := slices.ContainsFunc(p.Routers, func(n Router) bool { return !n.Address.IsValid() || n.Address.Is6() == is6 })
		elsewhere := slices.ContainsFunc(r.fabric.Places, func(o *Place) bool { return o != p && slices.ContainsFunc(o.Prefixes, of) })
		if heard || !elsewhere || !slices.ContainsFunc(p.Prefixes, of) {
			continue
		}
		family := "IPv4"
		if is6 {
			family = "IPv6"
		}
		r.warn("RW1524", r.written[p].Routers[0].At, p.subject(), fmt.Sprintf("no neighbor of it has an %s address, so its routers do not learn how to reach %s prefixes of other places", family, family),
			fmt.Sprintf("add a neighbor with the router's %s address", family))
	}
}

// accepted reads what a router may announce: only what the place owns, of the family that is spoken with it.
func (r *reader) accepted(p *Place, w *fabric.Router, subject string, address netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range w.Accept {
		prefix, ok := parsed(text)
		if !ok || !address.IsValid() {
			continue
		}
		own := func(x netip.Prefix) bool { return prefixes.Covers(x, prefix) }
		switch {
		case prefix.Addr().Is4() != address.Is4():
			r.fail("RW1508", text.At, subject, fmt.Sprintf("%s is of another family than the session, which is over %s", prefix, address), "name a neighbor for each family")
		case !slices.ContainsFunc(p.Prefixes, own) && !r.partial:
			r.fail("RW1508", text.At, subject, fmt.Sprintf("%s is not of %s, so nobody takes it for that", prefix, p.subject()), "add it to the prefixes of the place, or remove it")
		}
		out = append(out, prefix)
	}
	return prefixes.Normal(out)
}

// checkLinkPools sees that every tunnel gets a pair of addresses, beside those of gateways.
func (r *reader) checkLinkPools() {
	if r.fabric.Routing.Mode != fabric.BGP {
		return
	}
	pairs := 0
	for l := range r.fabric.Joined() {
		pairs += len(l.A.Gateways) * len(l.B.Gateways) * l.Tunnels
	}
	at := r.spec.Addressing.At
	if at.Line == 0 {
		at = r.spec.Routing.At
	}
	for _, pool := range []netip.Prefix{r.fabric.Pools.Links4, r.fabric.Pools.Links6} {
		if !pool.IsValid() {
			continue
		}
		free := pool.Addr().BitLen() - pool.Bits()
		if need := 2*pairs + len(r.fabric.Gateways()) + 2; free < 31 && need > 1<<free {
			r.fail("RW1207", at, "addressing", fmt.Sprintf("pool %s has %d addresses, and %d tunnels with two each and %d gateways need %d", pool, 1<<free, pairs, len(r.fabric.Gateways()), need),
				fmt.Sprintf("take a /%d or larger: addressing: {links: …}", longest(pool, need)))
		}
	}
}
