package reach

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/fabric"
	"ropeway/internal/prefixes"
)

func list(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

func TestCut(t *testing.T) {
	got := map[string][]string{}
	for _, p := range cut(list("10.0.0.0/16", "10.0.128.0/17", "10.0.0.0/16", "10.0.0.0/18", "10.1.0.0/16", "fd00::/48")) {
		for _, x := range p.prefixes {
			got[p.at.String()] = append(got[p.at.String()], x.String())
		}
	}
	want := map[string][]string{
		"10.0.64.0": {"10.0.64.0/18"}, "10.0.0.0": {"10.0.0.0/18"}, "10.0.128.0": {"10.0.128.0/17"}, "10.1.0.0": {"10.1.0.0/16"}, "fd00::": {"fd00::/48"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := cut(list("10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9")); len(got) != 2 {
		t.Errorf("a prefix that others cover whole has a piece of its own: %v", got)
	}
}

// One group of each family stands for all, and packets of two families are not counted: there are none.
func TestFamiliesApart(t *testing.T) {
	groups := func(n4, n6 int) (out []group) {
		for i := range n4 + n6 {
			out = append(out, group{four: i < n4, was: int32(i)})
		}
		return out
	}
	both, four, six := groups(2, 3), groups(2, 0), groups(0, 1)
	for _, c := range []struct {
		from, to []group
		want     int
	}{{both, both, 2*2 + 3*3}, {both, four, 2 * 2}, {six, both, 3}, {four, six, 0}} {
		if got := (&question{sources: c.from, destinations: c.to}).size(); got != c.want {
			t.Errorf("%v to %v: %d pairs, want %d", c.from, c.to, got, c.want)
		}
	}
	for _, c := range []struct{ groups, want []group }{{both, []group{both[0], both[2]}}, {four, four[:1]}, {six, six}} {
		if got := firsts(c.groups); !slices.EqualFunc(got, c.want, func(a, b group) bool { return a.was == b.was }) {
			t.Errorf("%v: %v stand for all, want %v", c.groups, got, c.want)
		}
	}
}

// Every address is in exactly as many pieces as it should: one, where some prefix of the list has it; and no prefix of the list
// divides a piece.
func TestCutIsAPartition(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var given []netip.Prefix
		for range 1 + random.IntN(12) {
			addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(random.Uint32())})
			given = append(given, netip.PrefixFrom(addr, 24+random.IntN(9)).Masked())
		}
		pieces := cut(given)
		for last := range 256 {
			at := netip.AddrFrom4([4]byte{10, 0, 0, byte(last)})
			if got, want := holders(pieces, at), signature(given, at) != ""; (got == 1) != want || got > 1 {
				t.Fatalf("%v: %s is in %d pieces", given, at, got)
			}
		}
		for _, p := range pieces {
			for _, x := range p.prefixes {
				for _, at := range []netip.Addr{x.Addr(), prefixes.Last(x)} {
					if signature(given, at) != signature(given, p.at) {
						t.Fatalf("%v: a piece holds %s and %s, which the list tells apart", given, at, p.at)
					}
				}
			}
		}
	}
}

func holders(pieces []piece, at netip.Addr) (n int) {
	for _, p := range pieces {
		for _, x := range p.prefixes {
			if x.Contains(at) {
				n++
			}
		}
	}
	return n
}

// signature says which prefixes have an address.
func signature(list []netip.Prefix, at netip.Addr) string {
	out := ""
	for _, p := range list {
		if p.Contains(at) {
			out += p.String() + " "
		}
	}
	return out
}

func TestSorts(t *testing.T) {
	services := func(texts ...string) (out []fabric.Service) {
		for _, text := range texts {
			s, err := fabric.ParseService(text)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, s)
		}
		return out
	}
	for _, c := range []struct {
		m    mention
		want []string
	}{
		{mention{any: true}, []string{"any protocol=udp/1"}},
		{mention{services: services("tcp/443", "tcp/443")}, []string{"tcp/443=tcp/443"}},
		{mention{services: services("tcp/80-90", "tcp/85-100", "udp/53", "icmp")},
			[]string{"icmp=icmp", "tcp/80-84=tcp/80", "tcp/85-90=tcp/85", "tcp/91-100=tcp/91", "udp/53=udp/53"}},
		{mention{services: services("udp/1-5", "udp/6"), any: true}, []string{"udp/1-5=udp/1", "udp/6=udp/6", "other protocols=udp/7"}},
		{mention{services: services("udp/1-65535"), any: true}, []string{"udp/1-65535=udp/1", "other protocols=tcp/1"}},
	} {
		var got []string
		for _, s := range c.m.sorts() {
			got = append(got, s.name+"="+s.example.String())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v, -want +got:\n%s", c.m.services, diff)
		}
	}
}
