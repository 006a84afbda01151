package prefixes_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ropeway/internal/prefixes"
)

// The space of these tests is two times 64 addresses: 192.0.2.0/26 and 2001:db8::/122. A set of addresses is 128 bits, so every
// operation has a reference that nobody can get wrong.
const each = 64

var families = [2]netip.Prefix{netip.MustParsePrefix("192.0.2.0/26"), netip.MustParsePrefix("2001:db8::/122")}

type set [2 * each]bool

func members(list []netip.Prefix) (s set) {
	for family, space := range families {
		addr := space.Addr()
		for i := range each {
			s[family*each+i] = slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) })
			addr = addr.Next()
		}
	}
	return s
}

// combine applies a truth function to two sets.
func combine(a, b set, f func(a, b bool) bool) (out set) {
	for i := range a {
		out[i] = f(a[i], b[i])
	}
	return out
}

// random returns a list of prefixes within the space, duplicates and nesting included.
func random(r *rand.Rand) []netip.Prefix {
	list := make([]netip.Prefix, r.IntN(8))
	for i := range list {
		space := families[r.IntN(2)]
		addr := space.Addr().As16()
		addr[15] += byte(r.IntN(each))
		a := netip.AddrFrom16(addr)
		if space.Addr().Is4() {
			a = a.Unmap()
		}
		list[i] = netip.PrefixFrom(a, space.Bits()+r.IntN(7)).Masked()
	}
	return list
}

// checkNormal fails where a list is not sorted or a prefix lies within another.
func checkNormal(t *testing.T, list []netip.Prefix) {
	t.Helper()
	if !slices.IsSortedFunc(list, netip.Prefix.Compare) {
		t.Errorf("not sorted: %v", list)
	}
	for i, p := range list {
		for j, q := range list {
			if i != j && prefixes.Covers(p, q) {
				t.Errorf("%v covers %v in %v", p, q, list)
			}
		}
		if p != p.Masked() {
			t.Errorf("host bits: %v", p)
		}
	}
}

func TestAgainstSetsOfAddresses(t *testing.T) {
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 1))
		rawA, rawB := random(r), random(r)
		keep := slices.Clone(rawA)
		a, b := prefixes.Normal(rawA), prefixes.Normal(rawB)
		inA, inB := members(rawA), members(rawB)
		if !slices.Equal(rawA, keep) {
			t.Fatalf("seed %d: Normal changed its argument", seed)
		}
		want := map[string]set{
			"normal":    inA,
			"union":     combine(inA, inB, func(a, b bool) bool { return a || b }),
			"merge":     combine(inA, inB, func(a, b bool) bool { return a || b }),
			"intersect": combine(inA, inB, func(a, b bool) bool { return a && b }),
			"subtract":  combine(inA, inB, func(a, b bool) bool { return a && !b }),
		}
		got := map[string][]netip.Prefix{
			"normal":    a,
			"union":     prefixes.Union(rawA, rawB),
			"merge":     prefixes.Merge(a, b),
			"intersect": prefixes.Intersect(a, b),
			"subtract":  prefixes.Subtract(a, b),
		}
		for name, list := range got {
			checkNormal(t, list)
			if members(list) != want[name] {
				t.Fatalf("seed %d: %s of %v and %v is %v", seed, name, a, b, list)
			}
		}
		if overlap := want["intersect"] != (set{}); prefixes.Overlaps(a, b) != overlap {
			t.Fatalf("seed %d: Overlaps of %v and %v is not %v", seed, a, b, overlap)
		}
		for _, p := range a {
			for _, q := range b {
				covers := combine(members([]netip.Prefix{p}), members([]netip.Prefix{q}), func(a, b bool) bool { return b && !a }) == set{}
				if prefixes.Covers(p, q) != covers {
					t.Fatalf("Covers(%v, %v) is not %v", p, q, covers)
				}
			}
		}
	}
}

// Subtract splits a prefix into the fewest pieces: as many as the lengths differ, for one piece taken out.
func TestSubtractSplitsIntoTheFewest(t *testing.T) {
	for _, c := range []struct{ from, take string }{
		{"10.0.0.0/8", "10.1.2.0/24"}, {"0.0.0.0/0", "192.0.2.1/32"}, {"2001:db8::/32", "2001:db8:1::1/128"}, {"::/0", "ffff::/16"},
	} {
		from, take := netip.MustParsePrefix(c.from), netip.MustParsePrefix(c.take)
		got := prefixes.Subtract([]netip.Prefix{from}, []netip.Prefix{take})
		if len(got) != take.Bits()-from.Bits() {
			t.Errorf("%v without %v: %d pieces: %v", from, take, len(got), got)
		}
		if prefixes.Overlaps(got, []netip.Prefix{take}) {
			t.Errorf("%v without %v still overlaps it: %v", from, take, got)
		}
	}
}

func TestLast(t *testing.T) {
	for prefix, want := range map[string]string{
		"10.0.0.0/8": "10.255.255.255", "10.0.0.1/32": "10.0.0.1", "0.0.0.0/0": "255.255.255.255", "192.0.2.128/25": "192.0.2.255",
		"2001:db8::/32": "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "::/0": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	} {
		if got := prefixes.Last(netip.MustParsePrefix(prefix)); got.String() != want {
			t.Errorf("%s: got %s", prefix, got)
		}
	}
}

func TestNothing(t *testing.T) {
	some := []netip.Prefix{families[0]}
	for name, got := range map[string][]netip.Prefix{
		"normal": prefixes.Normal(nil), "union": prefixes.Union(), "intersect": prefixes.Intersect(some, nil), "subtract": prefixes.Subtract(some, some),
	} {
		if len(got) != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
	if diff := cmp.Diff(some, prefixes.Subtract(some, nil), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
	if prefixes.Overlaps(nil, some) {
		t.Error("nothing overlaps something")
	}
}
