package intent

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/prefixes"
)

// An owned prefix belongs to a place.
type owned struct {
	prefix netip.Prefix
	place  *Place
	at     diag.Position
}

// owners are all owned prefixes, sorted, none within another.
type owners []owned

// within returns what of p is owned: p itself where an owner covers it, else the owned prefixes inside it.
func (o owners) within(p netip.Prefix) []owned {
	i, _ := slices.BinarySearchFunc(o, p, func(a owned, p netip.Prefix) int { return a.prefix.Compare(p) })
	for _, j := range [2]int{i, i - 1} { // the one that begins where p does, or the last that begins before it
		if j >= 0 && j < len(o) && prefixes.Covers(o[j].prefix, p) {
			return []owned{{p, o[j].place, o[j].at}}
		}
	}
	end := i
	for end < len(o) && prefixes.Covers(p, o[end].prefix) {
		end++
	}
	return o[i:end]
}

// gap returns the first address of p that nobody owns; ok is false where every address has an owner.
func (o owners) gap(p netip.Prefix) (addr netip.Addr, ok bool) {
	next := p.Addr()
	for _, own := range o.within(p) {
		if own.prefix.Addr() != next {
			return next, true
		}
		next = prefixes.Last(own.prefix).Next()
	}
	return next, next == p.Addr() || prefixes.Last(p).Next() != next
}

// readOwners collects the prefixes of all places, and refuses those that two could claim.
func (r *reader) readOwners() {
	var all owners
	for _, p := range r.fabric.Places {
		texts := r.written[p].Prefixes
		r.partial = r.partial || len(texts) == 0
		for _, text := range texts {
			prefix, ok := parsed(text)
			if !ok {
				r.partial = true
				continue
			}
			if why := Unusable(prefix); why != "" {
				r.fail("RW1205", text.At, p.subject(), fmt.Sprintf("prefix %s %s", prefix, why), "name the prefixes that the place really has")
				r.partial = true
				continue
			}
			p.Prefixes = append(p.Prefixes, prefix)
			all = append(all, owned{prefix, p, text.At})
		}
	}
	slices.SortStableFunc(all, func(a, b owned) int { return a.prefix.Compare(b.prefix) })
	kept := all[:0]
	for _, o := range all {
		if n := len(kept); n > 0 && prefixes.Covers(kept[n-1].prefix, o.prefix) {
			r.overlap(kept[n-1], o)
			continue
		}
		kept = append(kept, o)
	}
	r.owners = kept
}

// overlap reports the one of two prefixes that comes later in the file.
func (r *reader) overlap(a, b owned) {
	if cmp.Or(cmp.Compare(a.at.Line, b.at.Line), cmp.Compare(a.at.Column, b.at.Column)) > 0 {
		a, b = b, a
	}
	r.fail("RW1203", b.at, b.place.subject(), fmt.Sprintf("prefix %s overlaps %s of %s", b.prefix, a.prefix, a.place.subject()),
		fmt.Sprintf("an address belongs to one place, once; the other is on line %d", a.at.Line))
}

// parsed returns a prefix as it was meant: without host bits, which Parse reported.
func parsed(text fabric.Text) (netip.Prefix, bool) {
	p, err := fabric.ParsePrefix(text.Value)
	return p.Masked(), err == nil && text.Given()
}

// Unusable says why no place can own a prefix, or "".
func Unusable(p netip.Prefix) string {
	if p.Bits() == 0 {
		return "is every address there is"
	}
	for _, s := range []struct{ prefix, why string }{
		{"0.0.0.0/8", "holds addresses of this host on this network (RFC 1122)"},
		{"127.0.0.0/8", "holds loopback addresses"},
		{"169.254.0.0/16", "holds link-local addresses"},
		{"224.0.0.0/4", "holds multicast addresses"},
		{"255.255.255.255/32", "holds the broadcast address"},
		{"::/127", "holds the unspecified or the loopback address"},
		{"::ffff:0:0/96", "holds IPv4 addresses written as IPv6"},
		{"fe80::/10", "holds link-local addresses"},
		{"ff00::/8", "holds multicast addresses"},
	} {
		if netip.MustParsePrefix(s.prefix).Overlaps(p) {
			return s.why
		}
	}
	return ""
}
