package firewall

import (
	"flag"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"ropeway/internal/fabric"
	"ropeway/internal/nstest"
	"ropeway/internal/plan"
	"ropeway/internal/prefixes"
)

var (
	seed     = flag.Uint64("seed", 1, "where random policies begin")
	policies = flag.Int("policies", 15, "how many random policies to try")
)

// packetsPerPolicy is enough to meet most edges of a policy of a few rules.
const packetsPerPolicy = 80

// A dice makes random policies and packets over the addresses of newWorld.
type dice struct {
	*rand.Rand
	pairs map[[2]netip.Addr]bool // used by protocols without ports
	sport uint16
}

// prefix is a random one within a family's 10.N/16 or fd0N::/48; now and then it is much wider.
func (d *dice) prefix(v6 bool) netip.Prefix {
	if d.IntN(12) == 0 {
		return [2]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}[btoi(v6)]
	}
	at := d.address(v6)
	bits := 16 + d.IntN(17)
	if v6 {
		bits = 48 + d.IntN(81)
	}
	return netip.PrefixFrom(at, bits).Masked()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// address is a random one of the four that have a route of their own; few bits vary, so that edges are met.
func (d *dice) address(v6 bool) netip.Addr {
	place, hi, lo := byte(1+d.IntN(4)), byte(d.IntN(3)*127), byte(d.IntN(4)*85)
	if v6 {
		return netip.AddrFrom16([16]byte{0xfd, place, 0, 0, 0, 0, hi, 0, 0, 0, 0, 0, 0, 0, 0, lo})
	}
	return netip.AddrFrom4([4]byte{10, place, hi, lo})
}

func (d *dice) list() []netip.Prefix {
	var out []netip.Prefix
	for range 1 + d.IntN(4) {
		out = append(out, d.prefix(false), d.prefix(true))
	}
	if d.IntN(5) == 0 { // one family only
		v6 := d.IntN(2) == 0
		out = slices.DeleteFunc(out, func(p netip.Prefix) bool { return p.Addr().Is6() == v6 })
	}
	return prefixes.Normal(out)
}

func (d *dice) services() []fabric.Service {
	var out []fabric.Service
	for range d.IntN(4) {
		a, b := uint16(1+d.IntN(600)), uint16(1+d.IntN(600))
		if d.IntN(4) == 0 {
			b = 65535
		}
		out = append(out, []fabric.Service{
			{Protocol: fabric.TCP, First: a, Last: a}, {Protocol: fabric.TCP, First: min(a, b), Last: max(a, b)},
			{Protocol: fabric.UDP, First: min(a, b), Last: max(a, b)}, {Protocol: fabric.ICMP},
		}[d.IntN(4)])
	}
	return out
}

func (d *dice) policy() *plan.Gateway {
	g := gateway()
	g.Firewall.Own = prefixes.Normal(append(pfx("10.1.0.0/17", "fd01::/49"), d.list()[:1]...))
	g.Firewall.Fabric = prefixes.Union(g.Firewall.Own, pfx("10.2.0.0/16", "10.3.0.0/16", "fd02::/48", "fd03::/48"))
	for id := 1; id <= 1+d.IntN(6); id++ {
		g.Firewall.Rules = append(g.Firewall.Rules, plan.Rule{
			ID: id, Direction: []plan.Direction{plan.Out, plan.In, plan.Transit}[d.IntN(3)], From: d.list(), To: d.list(), Services: d.services(),
		})
	}
	for _, ways := range [][]plan.Direction{{plan.Out, plan.In}, {plan.Transit}} {
		if d.IntN(2) == 0 {
			g.Firewall.Answers = append(g.Firewall.Answers, ways...)
		}
	}
	return g
}

// vary changes a little of a policy, as a person would.
func (d *dice) vary(g *plan.Gateway) *plan.Gateway {
	next := *g
	next.Firewall.Rules = slices.Clone(g.Firewall.Rules)
	r := &next.Firewall.Rules[d.IntN(len(next.Firewall.Rules))]
	switch d.IntN(5) {
	case 0:
		r.From = prefixes.Normal(append(slices.Clone(r.From), d.list()...))
	case 1:
		r.To = prefixes.Subtract(r.To, d.list())
	case 2:
		r.Services = d.services()
	case 3:
		i := d.IntN(len(next.Firewall.Rules))
		next.Firewall.Rules = slices.Insert(next.Firewall.Rules, i, plan.Rule{ID: 9, Direction: plan.In, From: d.list(), To: d.list()})
	case 4:
		next.Firewall.Answers = []plan.Direction{[]plan.Direction{plan.Out, plan.In, plan.Transit}[d.IntN(3)]}
	}
	return &next
}

// near is an address at an edge of what the policy names, or beside it, or its bytes swapped.
func (d *dice) near(g *plan.Gateway, v6 bool) netip.Addr {
	var all []netip.Prefix
	for _, r := range g.Firewall.Rules {
		all = append(append(all, r.From...), r.To...)
	}
	all = slices.DeleteFunc(append(all, g.Firewall.Own...), func(p netip.Prefix) bool { return p.Addr().Is6() != v6 || p.Bits() == 0 })
	if len(all) == 0 || d.IntN(4) == 0 {
		return d.address(v6)
	}
	p := all[d.IntN(len(all))]
	switch d.IntN(5) {
	case 0:
		return p.Addr()
	case 1:
		return prefixes.Last(p)
	case 2:
		return p.Addr().Prev()
	case 3:
		return prefixes.Last(p).Next()
	}
	b := p.Addr().AsSlice()
	if !v6 { // an interface's byte order is never the address's
		slices.Reverse(b)
	}
	swapped, _ := netip.AddrFromSlice(b)
	return swapped
}

// deliverable are the addresses that a router forwards from and to.
func deliverable(a netip.Addr) bool {
	if !a.IsValid() || !a.IsGlobalUnicast() || a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 224) {
		return false
	}
	return !netip.MustParsePrefix("192.0.2.0/24").Contains(a) && !netip.MustParsePrefix("2001:db8::/64").Contains(a)
}

func (d *dice) packet(g *plan.Gateway) packet {
	for {
		v6 := d.IntN(2) == 0
		d.sport++
		p := packet{src: d.near(g, v6), dst: d.near(g, v6), sport: 1024 + d.sport%60000, dport: uint16(1 + d.IntN(650))}
		p.proto = []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMP, 253}[d.IntN(4)]
		if r := g.Firewall.Rules[d.IntN(len(g.Firewall.Rules))]; len(r.Services) > 0 && d.IntN(3) > 0 {
			s := r.Services[d.IntN(len(r.Services))]
			p.dport = []uint16{s.First, s.Last, s.First - 1, s.Last + 1, s.First<<8 | s.First>>8}[d.IntN(5)]
		}
		if d.IntN(2) == 0 {
			p = d.midstream(g, p)
		}
		if !deliverable(p.src) || !deliverable(p.dst) || p.dport == 0 || p.src == p.dst {
			continue
		}
		if p.proto == 253 {
			if d.pairs[[2]netip.Addr{p.src, p.dst}] || d.pairs[[2]netip.Addr{p.dst, p.src}] {
				continue
			}
			d.pairs[[2]netip.Addr{p.src, p.dst}] = true
		}
		return p
	}
}

// midstream makes of what opens a flow something else of it: what answers it, or a segment with flags of any kind.
func (d *dice) midstream(g *plan.Gateway, p packet) packet {
	if r := g.Firewall.Rules[d.IntN(len(g.Firewall.Rules))]; len(r.From) > 0 && len(r.To) > 0 && d.IntN(4) > 0 && p.proto != 253 {
		from, to := r.From[d.IntN(len(r.From))].Addr(), r.To[d.IntN(len(r.To))].Addr()
		if from.Is4() == to.Is4() {
			p.src, p.dst = from, to
		}
		if len(r.Services) > 0 {
			s := r.Services[d.IntN(len(r.Services))]
			p.proto = map[fabric.Protocol]byte{fabric.TCP: unix.IPPROTO_TCP, fabric.UDP: unix.IPPROTO_UDP, fabric.ICMP: unix.IPPROTO_ICMP}[s.Protocol]
			p.dport = max(s.First, 1)
		}
	}
	flags := []byte{tcpAck, tcpSyn | tcpAck, tcpFin | tcpAck, tcpRst, tcpRst | tcpAck, tcpSyn | tcpRst, tcpFin, tcpPsh, tcpSyn}[d.IntN(9)]
	if d.IntN(4) > 0 {
		p = p.answer()
	}
	if p.proto == unix.IPPROTO_TCP {
		p.flags = flags
	}
	return p
}

// leavesBy is the routing of newWorld.
func leavesBy(dst netip.Addr) string {
	for cidr, name := range map[string]string{
		"10.1.0.0/16": "eth0", "fd01::/48": "eth0", "10.2.0.0/16": "rw0", "fd02::/48": "rw0", "10.3.0.0/16": "rw1", "fd03::/48": "rw1",
	} {
		if netip.MustParsePrefix(cidr).Contains(dst) {
			return name
		}
	}
	return "wan0"
}

// judge is the reference: the comment on plan.Firewall, read word by word, about the first packet that comes of a flow. It returns whether
// the packet passes and the access entry that lets it, 0 where it crosses no device, or midstream.
func judge(f *plan.Firewall, from, to string, p packet) (passes bool, id int) {
	device := func(name string) bool { return strings.HasPrefix(name, "rw") }
	if within(f.Own, p.src) && within(f.Fabric, p.dst) && !within(f.Own, p.dst) && !device(to) {
		return false, 0
	}
	direction := plan.Out
	switch {
	case !device(from) && !device(to):
		return true, 0
	case device(from) && device(to):
		direction = plan.Transit
	case device(from):
		direction = plan.In
	}
	if opensNothing := p.isEchoReply() || p.proto == unix.IPPROTO_TCP && p.flags&(tcpAck|tcpRst) != 0; opensNothing {
		if answered := f.AnswersAcross(direction); !answered && !slices.Contains(f.Answers, direction) && p.isInvalid() {
			return false, 0
		} else if question := p.question(); answered && slices.ContainsFunc(f.Rules, func(r plan.Rule) bool {
			return r.Direction == direction.Reverse() && within(r.From, question.src) && within(r.To, question.dst) && serves(r.Services, question)
		}) {
			return true, midstream
		}
	} else if p.isInvalid() {
		return false, 0
	}
	for _, r := range f.Rules {
		if r.Direction == direction && within(r.From, p.src) && within(r.To, p.dst) && serves(r.Services, p) {
			return true, r.ID
		}
	}
	return false, 0
}

// midstream is what judge says of answers to what another gateway saw.
const midstream = -1

func within(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

func serves(list []fabric.Service, p packet) bool {
	wanted, ok := p.service()
	return len(list) == 0 || ok && slices.ContainsFunc(list, func(s fabric.Service) bool { return s.Contains(wanted) })
}

// TestRandomPolicies applies random policies one over the other and sends random packets through each. What left, and by which
// interface, must be what the reference says, and so must the counters.
func TestRandomPolicies(t *testing.T) {
	w := newWorld(t)
	clean := nstest.New(t)
	d := &dice{rand.New(rand.NewPCG(*seed, 7)), map[[2]netip.Addr]bool{}, 0}
	g := d.policy()
	passed, dropped, answers := 0, 0, uint64(0)
	for n := range *policies {
		if n > 0 && n%3 == 0 {
			g = d.policy()
		} else {
			g = d.vary(g)
		}
		change := w.apply(g)
		checkHeld(t, w, g, clean)
		before, err := w.fw.Counters(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		type try struct {
			packet
			from, want string
		}
		tries, opened := map[uint32]try{}, map[int]uint64{}
		for range packetsPerPolicy {
			p := d.packet(g)
			from := []string{"eth0", "rw0", "rw1", "wan0", leavesBy(p.src), leavesBy(p.src)}[d.IntN(6)]
			want := leavesBy(p.dst)
			passes, id := judge(&g.Firewall, from, want, p)
			if !passes {
				want = ""
				dropped++
			} else if passed++; id != 0 {
				opened[id]++
			}
			tries[w.send(from, p)] = try{p, from, want}
			w.collect()
		}
		w.settle()
		for mark, try := range tries {
			if got := w.seen[mark]; got != try.want {
				t.Errorf("policy %d: %s from %s left by %q, the reference says %q", n, try.packet, try.from, got, try.want)
			}
		}
		after, err := w.fw.Counters(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for id := range after.Access {
			if got := after.Access[id].Packets - before.Access[id].Packets; got != opened[id] {
				t.Errorf("policy %d: access %d counted %d, the reference %d", n, id, got, opened[id])
			}
		}
		if got := after.Answers.Packets - before.Answers.Packets; got != opened[midstream] {
			t.Errorf("policy %d: %d answers counted, the reference %d", n, got, opened[midstream])
		}
		answers += opened[midstream]
		if t.Failed() {
			t.Fatalf("seed %d, policy %d, applied as %q:\n%s", *seed, n, change.Lines(), Render(g))
		}
	}
	t.Logf("%d packets passed, %d of them answers, and %d were dropped, as they should be", passed, answers, dropped)
	if passed < packetsPerPolicy || dropped < packetsPerPolicy || answers < packetsPerPolicy/10 {
		t.Error("too few of one kind: the test tests nothing")
	}
}

// checkHeld compares the table that many changes have led to with the one that its text makes from nothing.
func checkHeld(t *testing.T, w *world, g *plan.Gateway, clean netns.NsHandle) {
	t.Helper()
	other := New()
	defer func() { _ = other.Close() }()
	state, err := other.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if change := Diff(state, Compile(g)); !change.Empty() {
		t.Fatalf("somebody new would change %q", change.Lines())
	}
	got := list(t)
	var want string
	nstest.In(t, clean, func() {
		nftText(t, Render(g))
		want = list(t)
	})
	if diff := cmp.Diff(anonymous(want), anonymous(got)); diff != "" {
		t.Fatalf("the table (-from nothing +by changes):\n%s", diff)
	}
}

var (
	setBlock = regexp.MustCompile(`(?s)\tset ((?:list4|list6|ports)_\w+) \{\n(.*?)\n\t\}\n`)
	spaces   = regexp.MustCompile(`\s+`)
)

// anonymous puts the elements of a set where its name stands.
func anonymous(listing string) []string {
	for _, m := range setBlock.FindAllStringSubmatch(listing, -1) {
		listing = strings.ReplaceAll(listing, m[0], "")
		listing = regexp.MustCompile(`@`+m[1]+`\b`).ReplaceAllLiteralString(listing, "{"+spaces.ReplaceAllString(m[2], " ")+"}")
	}
	return sorted(strings.ReplaceAll(listing, "\n\n\n", "\n\n"))
}
