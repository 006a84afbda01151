package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"ropeway/internal/fabric"
	"ropeway/internal/intent"
)

// A maker writes random fabric files. The same seed makes the same file.
type maker struct {
	*rand.Rand
	prefixes []string // of all places
	places   []string // "region/p1"
	dual     bool
	speaks   bool // BGP
}

// randomFabric returns a fabric file that the reader accepts, of static routing or of BGP. Most drafts are; the others say nothing of kernels.
func randomFabric(seed uint64, mode fabric.RoutingMode) (text string, in *intent.Fabric) {
	for draft := uint64(0); ; draft++ {
		m := &maker{Rand: rand.New(rand.NewPCG(seed, draft)), speaks: mode == fabric.BGP}
		text = m.fabric(fmt.Sprintf("seed-%d", seed))
		if in, list := intent.Read("fabric.yaml", []byte(text)); in != nil {
			return text, in
		} else if draft == 200 {
			panic(fmt.Sprintf("200 drafts of seed %d were refused, the last one for %v:\n%s", seed, list, text))
		}
	}
}

func (m *maker) one(of ...string) string { return of[m.IntN(len(of))] }

func (m *maker) often(percent int) bool { return m.IntN(100) < percent }

func (m *maker) fabric(name string) string {
	m.dual = m.often(50)
	count := 2 + m.IntN(4)
	mode := m.one("mesh", "mesh", "hub-and-spoke", "hybrid")
	hubs := count
	if mode != "mesh" {
		hubs = 1 + m.IntN(min(2, count-1))
	}
	var regions, sites, names []string
	for i := range count {
		names = append(names, fmt.Sprintf("p%d", i+1))
		place := m.place(names[i], i, mode == "mesh" && i < count-1 || mode != "mesh" && i < hubs)
		if m.often(60) {
			regions = append(regions, place)
			m.places = append(m.places, "region/"+names[i])
		} else {
			sites = append(sites, place)
			m.places = append(m.places, "site/"+names[i])
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: ropeway/v1\nkind: Fabric\nmetadata: {name: %s}\nspec:\n", name)
	if mode == "mesh" {
		b.WriteString("  topology: {mode: mesh}\n")
	} else {
		fmt.Fprintf(&b, "  topology: {mode: %s, hubs: [%s]}\n", mode, strings.Join(names[:hubs], ", "))
	}
	b.WriteString(m.routing())
	section(&b, "regions", regions)
	section(&b, "sites", sites)
	section(&b, "links", m.links(names, mode))
	segments := m.segments()
	section(&b, "segments", segments)
	section(&b, "access", m.access(len(segments)))
	section(&b, "tests", m.tests(len(segments)))
	return b.String()
}

func section(b *strings.Builder, name string, entries []string) {
	if len(entries) == 0 && name != "access" {
		return
	}
	if len(entries) == 0 {
		b.WriteString("  access: []\n")
		return
	}
	fmt.Fprintf(b, "  %s:\n", name)
	for _, e := range entries {
		fmt.Fprintf(b, "    - %s\n", e)
	}
}

// place writes a place. Where endpoints are needed every gateway has one; else it may be behind NAT.
func (m *maker) place(name string, number int, needed bool) string {
	var prefixes []string
	for k := range 1 + m.IntN(2) {
		p := fmt.Sprintf("10.%d.%d.0/%d", number+1, k*64, 18+m.IntN(8))
		if m.dual && m.often(40) {
			p = fmt.Sprintf("2001:db8:%d:%d::/64", number+1, k)
		}
		prefixes = append(prefixes, p)
	}
	m.prefixes = append(m.prefixes, prefixes...)
	natted, count := !needed && m.often(50), 1+m.IntN(2)
	shared := ""
	if count > 1 && m.often(25) { // both behind one address, by ports next to each other
		shared = m.endpoint(number, 0, name)
	}
	var gateways []string
	for k := range count {
		g := fmt.Sprintf("name: %s-%c", name, 'a'+k)
		if shared != "" {
			g += fmt.Sprintf(", endpoint: %q, port: %d, nat: true", shared, 51820+k)
		} else {
			g += m.reached(number, k, name, natted)
		}
		if m.speaks {
			g += fmt.Sprintf(", address: 192.168.%d.%d", number+1, k+1)
		}
		gateways = append(gateways, "{"+g+"}")
	}
	mtu := ""
	if m.often(40) {
		mtu = fmt.Sprintf("underlay: {mtu: %d}, ", m.mtu())
	}
	return fmt.Sprintf("{name: %s, %sprefixes: [%s], gateways: [%s]%s}", name, mtu, quoted(prefixes), strings.Join(gateways, ", "), m.speaker(name, number, prefixes, len(gateways)))
}

// reached says how a gateway is reached that has its address for itself.
func (m *maker) reached(number, k int, name string, natted bool) (g string) {
	if !natted || m.often(20) {
		g += fmt.Sprintf(", endpoint: %q", m.endpoint(number, k, name))
	}
	if natted || m.often(10) {
		g += ", nat: true"
	}
	if m.often(20) {
		g += fmt.Sprintf(", port: %d", 4500+m.IntN(100))
	}
	return g
}

// routing says how routes come about. BFD is slow enough for a machine that has several labs up.
func (m *maker) routing() string {
	if !m.speaks {
		return ""
	}
	tunnels := ""
	if m.often(30) {
		tunnels = ", tunnels: 2"
	}
	return fmt.Sprintf("  routing: {mode: bgp, daemon: %s, bfd: {interval: 1s, multiplier: 5}%s}\n", m.one("frr", "bird"), tunnels)
}

// speaker is what BGP adds to a place: a number, and a router for each family that it has, which may announce a part of it; or a table that its gateways hold.
func (m *maker) speaker(name string, number int, prefixes []string, gateways int) string {
	if !m.speaks {
		return ""
	}
	out := ""
	if m.often(30) {
		out += fmt.Sprintf(", asn: %d", 64512+number)
	}
	var routers []string
	families := map[bool]bool{}
	for _, text := range prefixes {
		prefix := netip.MustParsePrefix(unquoted(text))
		if families[prefix.Addr().Is4()] || !m.often(50) {
			continue
		}
		families[prefix.Addr().Is4()] = true
		accept := ""
		if m.often(40) {
			accept = fmt.Sprintf(", accept: [%q]", m.part(prefix.String()))
		}
		routers = append(routers, fmt.Sprintf("{name: %s-core%d, address: %q, asn: %d%s}", name, len(routers)+1, prefix.Addr().Next().Next(), 65001+number, accept))
	}
	switch {
	case len(routers) > 0:
		out += ", neighbors: [" + strings.Join(routers, ", ") + "]"
	case gateways > 1 && m.often(70):
		out += ", takeOver: true"
	}
	return out
}

func quoted(list []string) string {
	for i := range list {
		list[i] = fmt.Sprintf("%q", list[i])
	}
	return strings.Join(list, ", ")
}

func (m *maker) mtu() int { return []int{1500, 1492, 1400 + m.IntN(100), 1360, 9001, 8500}[m.IntN(6)] }

func (m *maker) endpoint(number, k int, name string) string {
	switch m.IntN(6) {
	case 0:
		return fmt.Sprintf("2001:db8:ffff:%d::%d", number+1, k+1)
	case 1:
		return fmt.Sprintf("%s-%c.example.net", name, 'a'+k)
	}
	return fmt.Sprintf("203.0.113.%d", number*10+k+1)
}

func (m *maker) links(names []string, mode string) []string {
	var out []string
	for i, a := range names {
		for _, b := range names[i+1:] {
			if !m.often(15) {
				continue
			}
			link := fmt.Sprintf("between: [%s, %s]", a, b)
			if mode != "hybrid" || !m.often(50) {
				link += fmt.Sprintf(", underlay: {mtu: %d}", m.mtu())
			}
			if m.speaks && m.often(40) {
				link += m.one(", path: prefer", ", path: avoid", ", tunnels: 2")
			}
			out = append(out, "{"+link+"}")
		}
	}
	return out
}

// segments take whole prefixes or halves of them.
func (m *maker) segments() []string {
	var out []string
	for i := range m.IntN(3) {
		var mine []string
		for _, p := range m.prefixes {
			if m.often(40) {
				mine = append(mine, m.part(unquoted(p)))
			}
		}
		if len(mine) == 0 {
			mine = []string{unquoted(m.prefixes[0])}
		}
		out = append(out, fmt.Sprintf("{name: s%d, prefixes: [%s]}", i+1, quoted(mine)))
	}
	return out
}

func unquoted(s string) string { return strings.Trim(s, `"`) }

// part returns a prefix, or its lower half.
func (m *maker) part(p string) string {
	if m.often(60) {
		return p
	}
	addr, bits, _ := strings.Cut(p, "/")
	n := 0
	_, _ = fmt.Sscan(bits, &n)
	return fmt.Sprintf("%s/%d", addr, n+1)
}

func (m *maker) selector(segments int) string {
	switch m.IntN(10) {
	case 0, 1:
		return "any"
	case 2, 3, 4:
		if segments > 0 {
			return fmt.Sprintf("segment/s%d", 1+m.IntN(segments))
		}
	case 5:
		return fmt.Sprintf("%q", m.part(unquoted(m.one(m.prefixes...))))
	}
	return m.one(m.places...)
}

func (m *maker) access(segments int) []string {
	if m.often(15) {
		return []string{"{from: any, to: any}"}
	}
	var out []string
	for range 1 + m.IntN(4) {
		ports := ""
		if m.often(60) {
			list := []string{m.one("tcp/443", "tcp/8000-8100", "udp/53", "icmp")}
			if m.often(40) {
				list = append(list, m.one("tcp/22", "udp/5000-5001"))
			}
			ports = fmt.Sprintf(", ports: [%s]", strings.Join(list, ", "))
		}
		out = append(out, fmt.Sprintf("{from: %s, to: %s%s}", m.selector(segments), m.selector(segments), ports))
	}
	return out
}

// tests say anything: that prover and packets agree on them is what is asked, not that they hold.
func (m *maker) tests(segments int) []string {
	var out []string
	for range m.IntN(3) {
		out = append(out, fmt.Sprintf("{from: %s, to: %s, expect: %s}", m.selector(segments), m.selector(segments), m.one("reachable", "denied")))
	}
	return out
}
