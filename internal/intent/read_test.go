package intent_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/prefixes"
)

// read returns the meaning of a file that has to be valid.
func read(t testing.TB, text string) *intent.Fabric {
	t.Helper()
	in, problems := intent.Read("f.yaml", []byte(text))
	if in == nil {
		t.Fatal(problems)
	}
	return in
}

const head = "apiVersion: ropeway/v1\nkind: Fabric\nmetadata: {name: acme}\nspec:\n"

const hybrid = head + `
  topology: {mode: hybrid, hubs: [b, a]}
  regions:
    - {name: a, prefixes: [10.1.0.0/16], gateways: [{name: a1, endpoint: 203.0.113.1}]}
    - {name: b, underlay: {mtu: 1400}, prefixes: [10.2.0.0/16], gateways: [{name: b1, endpoint: 203.0.113.2, port: 4500}]}
  sites:
    - {name: c, prefixes: [10.3.0.0/16, 2001:db8:3::/48], gateways: [{name: c1, nat: true}, {name: c2, zone: east}]}
    - {name: d, hubs: [a], prefixes: [10.4.0.0/16], gateways: [{name: d1, endpoint: d.example.net}]}
    - {name: e, hubs: [a, b], prefixes: [10.5.0.0/16], gateways: [{name: e1}]}
  segments: [{name: s, prefixes: [10.5.0.0/17, 10.1.0.0/17, 10.1.0.0/24]}, {name: two, prefixes: [10.2.0.0/15]}]
  links:
    - {between: [d, c], underlay: {mtu: 9000}}
    - {between: [b, a], underlay: {mtu: 1450}}
  access:
    - {from: any, to: 10.0.0.0/8, ports: [tcp/443, icmp]}
    - {from: segment/two, to: segment/s}
  tests:
    - {from: site/c, to: "[2001:db8:3::1]:443/tcp", expect: denied}
    - {from: 10.4.0.1, to: 10.1.0.1/icmp, expect: reachable, symmetric: true, mtu: 1280}
    - {from: site/d, to: site/e, expect: denied}
`

func TestJoinedFollowsTheTopology(t *testing.T) {
	names := func(in *intent.Fabric) (out []string) {
		for l := range in.Joined() {
			line := l.A.Name + "-" + l.B.Name + " " + strconv.Itoa(l.UnderlayMTU)
			if l.Position.Line > 0 {
				line += " written"
			}
			out = append(out, line)
		}
		return out
	}
	links := hybrid[strings.Index(hybrid, "  links:"):strings.Index(hybrid, "  access:")]
	spokes := strings.NewReplacer("mode: hybrid", "mode: hub-and-spoke", links, "").Replace(hybrid)
	mesh := strings.NewReplacer("mode: hybrid, hubs: [b, a]", "mode: mesh", links, "", "hubs: [a], ", "", "hubs: [a, b], ", "",
		"nat: true}", "nat: true, endpoint: 203.0.113.3}", "zone: east", "endpoint: 203.0.113.4", "{name: e1}", "{name: e1, endpoint: 203.0.113.5}").Replace(hybrid)
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"hybrid", hybrid, []string{"a-b 1450 written", "a-c 1500", "a-d 1500", "a-e 1500", "b-c 1400", "b-e 1400", "c-d 9000 written"}},
		{"hub-and-spoke", spokes, []string{"a-b 1400", "a-c 1500", "a-d 1500", "a-e 1500", "b-c 1400", "b-e 1400"}},
		{"mesh", mesh, []string{"a-b 1400", "a-c 1500", "a-d 1500", "a-e 1500", "b-c 1400", "b-d 1400", "b-e 1400", "c-d 1500", "c-e 1500", "d-e 1500"}},
	} {
		if diff := cmp.Diff(c.want, names(read(t, c.text))); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}

func TestMeaningOfEveryKey(t *testing.T) {
	in := read(t, hybrid)
	if in.Name != "acme" || in.Topology != fabric.Hybrid || len(in.Places) != 5 || len(in.Gateways()) != 6 {
		t.Errorf("fabric %s, %s", in.Name, in.Topology)
	}
	a, b, c, e := in.Place("a"), in.Place("b"), in.Place("c"), in.Place("e")
	if !a.Hub || !b.Hub || a.Hubs != nil || c.Hub || in.Place("nobody") != nil || a.Kind != fabric.Region || c.Kind != fabric.Site {
		t.Errorf("hubs are wrong: %+v", in.Places)
	}
	if len(e.Hubs) != 2 || e.Hubs[0] != a || e.Hubs[1] != b || !e.Ranked {
		t.Errorf("the hubs that a spoke names stand in its order: %v", e.Hubs)
	}
	alike := read(t, strings.Replace(hybrid, "{name: e, hubs: [a, b], ", "{name: e, ", 1))
	if e := alike.Place("e"); len(e.Hubs) != 2 || e.Hubs[0] != alike.Place("b") || e.Hubs[1] != alike.Place("a") || e.Ranked {
		t.Errorf("the hubs of a spoke that names none stand in the order of topology.hubs: %v", e.Hubs)
	}
	if got := b.Gateways[0]; got.Endpoint.String() != "203.0.113.2:4500" || got.Port != 4500 || got.Dials() || got.Place != b {
		t.Errorf("%+v", got)
	}
	if c1, c2 := c.Gateways[0], c.Gateways[1]; c1.Port != 51820 || !c1.NAT || !c1.Dials() || c2.NAT || !c2.Dials() || c2.Zone != "east" {
		t.Errorf("%+v, %+v", c1, c2)
	}
	if a.UnderlayMTU != 1500 || b.UnderlayMTU != 1400 {
		t.Error("underlay MTU")
	}
	texts := func(list []netip.Prefix) string {
		var out []string
		for _, p := range list {
			out = append(out, p.String())
		}
		return strings.Join(out, " ")
	}
	all := "10.1.0.0/16 10.2.0.0/16 10.3.0.0/16 10.4.0.0/16 10.5.0.0/16"
	for what, pair := range map[string][2]string{
		"any":                             {texts(in.Access[0].From.Prefixes), all + " 2001:db8:3::/48"},
		"a prefix, as far as it is owned": {texts(in.Access[0].To.Prefixes), all},
		"a segment over two places":       {texts(in.Access[1].From.Prefixes), "10.2.0.0/16 10.3.0.0/16"},
		"a segment with nested prefix":    {texts(in.Access[1].To.Prefixes), "10.1.0.0/17 10.5.0.0/17"},
		"segment":                         {texts(in.Segments[0].Prefixes), "10.1.0.0/17 10.5.0.0/17"},
		"an address":                      {texts(in.Tests[0].To.Prefixes), "2001:db8:3::1/128"},
		"the text":                        {in.Tests[0].To.Text, "[2001:db8:3::1]:443/tcp"},
		"a service":                       {in.Tests[0].Service.String(), "tcp/443"},
		"services":                        {in.Access[0].Services[0].String() + " " + in.Access[0].Services[1].String(), "tcp/443 icmp"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %s, want %s", what, pair[0], pair[1])
		}
	}
	if test := in.Tests[1]; !test.Symmetric || test.MTU != 1280 || test.Expect != intent.Reachable || test.Service.Protocol != fabric.ICMP {
		t.Errorf("%+v", test)
	}
	if in.Tests[2].Service != nil || in.Tests[2].MTU != 0 || in.Tests[2].Position.Line == 0 {
		t.Errorf("%+v", in.Tests[2])
	}
}

func TestPools(t *testing.T) {
	const six = "2001:db8:3::/48"
	plain := strings.ReplaceAll(strings.ReplaceAll(hybrid, ", "+six, ""), "[2001:db8:3::1]:443/tcp", "10.3.0.1:443/tcp")
	in := read(t, plain)
	if in.Pools.Links4.String() != "100.64.0.0/16" || in.Pools.Links6.IsValid() || in.CarriesIPv6() {
		t.Errorf("IPv4 only: %+v", in.Pools)
	}
	in = read(t, hybrid)
	ula := netip.MustParsePrefix("fc00::/7")
	if p := in.Pools.Links6; p.Bits() != 64 || !prefixes.Covers(ula, p) || p != p.Masked() || p.Addr().As16()[0] != 0xfd || !in.CarriesIPv6() {
		t.Errorf("want a /64 of fd00::/8: %v", p)
	}
	if again := read(t, hybrid); again.Pools.Links6 != in.Pools.Links6 {
		t.Error("the same name gives another pool")
	}
	if other := read(t, strings.Replace(hybrid, "acme", "emca", 1)); other.Pools.Links6 == in.Pools.Links6 {
		t.Error("another name gives the same pool")
	}
	in = read(t, strings.Replace(hybrid, "spec:\n", "spec:\n  addressing: {links: [\"fd01::/120\", 10.99.0.0/24], devices: [10.98.0.0/16, \"fd02::/64\"]}\n", 1))
	if in.Pools.Links4.String() != "10.99.0.0/24" || in.Pools.Links6.String() != "fd01::/120" || len(in.Pools.Devices) != 2 {
		t.Errorf("given: %+v", in.Pools)
	}
}

func TestOverhead(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"203.0.113.1", "203.0.113.2", 60}, {"203.0.113.1", "", 60}, {"", "203.0.113.1", 60}, {"", "", 80},
		{"203.0.113.1", "gw.example.net", 80}, {"gw.example.net", "", 80}, {"2001:db8::1", "203.0.113.1", 80}, {"2001:db8::1", "2001:db8::2", 80}, {"", "2001:db8::2", 80},
	} {
		a := &intent.Gateway{Endpoint: fabric.Endpoint{Host: c.a, Port: 1}}
		b := &intent.Gateway{Endpoint: fabric.Endpoint{Host: c.b, Port: 1}}
		if got := intent.Overhead(a, b); got != c.want {
			t.Errorf("%q and %q: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// checkMeaning fails where a fabric breaks what the types promise to everything that follows.
func checkMeaning(t *testing.T, in *intent.Fabric) {
	t.Helper()
	owner := func(p netip.Prefix) (n int) {
		for _, place := range in.Places {
			for _, q := range place.Prefixes {
				if prefixes.Covers(q, p) {
					n++
				}
			}
		}
		return n
	}
	selector := func(s intent.Selector) {
		if len(s.Prefixes) == 0 {
			t.Errorf("selector %q is empty", s.Text)
		}
		for i, p := range s.Prefixes {
			if p != p.Masked() || owner(p) != 1 || i > 0 && (s.Prefixes[i-1].Compare(p) >= 0 || s.Prefixes[i-1].Overlaps(p)) {
				t.Errorf("selector %q: %v", s.Text, s.Prefixes)
			}
		}
	}
	for _, a := range in.Access {
		selector(a.From)
		selector(a.To)
	}
	for _, test := range in.Tests {
		selector(test.From)
		selector(test.To)
		if test.Expect != intent.Reachable && test.Expect != intent.Denied {
			t.Errorf("expectation %q", test.Expect)
		}
	}
	seen := map[string]bool{}
	for _, p := range in.Places {
		if !fabric.ValidName(p.Name) || seen["place "+p.Name] || len(p.Prefixes) == 0 || len(p.Gateways) == 0 || p.UnderlayMTU < fabric.MinUnderlayMTU {
			t.Errorf("place %+v", p)
		}
		seen["place "+p.Name] = true
		for _, prefix := range p.Prefixes {
			if owner(prefix) != 1 || in.Pools.Links4.Overlaps(prefix) || in.Pools.Links6.IsValid() && in.Pools.Links6.Overlaps(prefix) {
				t.Errorf("prefix %v", prefix)
			}
		}
		for _, g := range p.Gateways {
			if !fabric.ValidName(g.Name) || seen[g.Name] || g.Place != p || g.Port == 0 || !g.Endpoint.IsZero() && !fabric.ValidHost(g.Endpoint.Host) {
				t.Errorf("gateway %+v", g)
			}
			seen[g.Name] = true
		}
	}
	if in.Pools.Links6.IsValid() != in.CarriesIPv6() || !in.Pools.Links4.Addr().Is4() {
		t.Errorf("pools %+v", in.Pools)
	}
	for l := range in.Joined() {
		for _, a := range l.A.Gateways {
			for _, b := range l.B.Gateways {
				if a.Endpoint.IsZero() && b.Endpoint.IsZero() {
					t.Errorf("%s and %s cannot meet", a.Name, b.Name)
				}
				if inner := l.UnderlayMTU - intent.Overhead(a, b); inner < 68 || in.CarriesIPv6() && inner < 1280 {
					t.Errorf("%s and %s: %d bytes inside", a.Name, b.Name, inner)
				}
			}
		}
	}
}

// FuzzRead: no input panics; what is accepted keeps every promise; what is printed of hostile text is harmless.
func FuzzRead(f *testing.F) {
	f.Add([]byte(hybrid))
	f.Add(fabric.Starter())
	examples, err := filepath.Glob("../../examples/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range examples {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	stories, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range stories {
		story, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(unescape(story.Files[0].Data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in, problems := intent.Read("f.yaml", data)
		if (in == nil) != problems.Failed() {
			t.Fatalf("fabric %v with %v", in, problems)
		}
		for _, p := range problems {
			for _, r := range p.Error() {
				if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
					t.Errorf("U+%04X in %q", r, p.Error())
				}
			}
		}
		if in != nil {
			checkMeaning(t, in)
		}
	})
}

// Files that are made to cost more than they are worth are refused in bounded time and words.
func TestHostileSizes(t *testing.T) {
	base := large(200)
	base = base[:strings.Index(base, "  access:")]
	for name, c := range map[string]struct{ head, line string }{
		"a place on every line":                {head + "  topology: {mode: mesh}\n  access: []\n  regions:\n", "    - {name: r%d, prefixes: [10.0.0.0/8], gateways: [{name: g%[1]d}]}\n"},
		"a segment of everything":              {base + "  access: []\n  segments:\n", "    - {name: s%d, prefixes: [10.0.0.0/8]}\n"},
		"a selector of a place that is not":    {base + "  access:\n", "    - {from: region/x%d, to: any}\n"},
		"a test of an address that nobody has": {base + "  access: []\n  tests:\n", "    - {from: any, to: 11.0.0.0/8, expect: denied}  #%d\n"},
	} {
		var b strings.Builder
		b.WriteString(c.head)
		for i := range 20000 {
			fmt.Fprintf(&b, c.line, i)
		}
		in, problems := intent.Read("f.yaml", []byte(b.String()))
		if in != nil || len(problems) == 0 || len(problems) > 2000 {
			t.Errorf("%s: %d problems", name, len(problems))
		}
	}
}
