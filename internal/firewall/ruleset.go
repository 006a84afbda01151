package firewall

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// A Ruleset is the table as data: what Render writes as text and Apply sends to the kernel. Compile makes it; nobody changes it.
type Ruleset struct {
	sets     []*set
	counters []string
	chains   []chain
	digest   [sha256.Size]byte // of all of the above
}

// A chain is a list of rules. The kernel enters it by its hook, or a rule does by its name.
type chain struct {
	name  string
	hook  *hook // nil: only rules enter it
	rules []rule
}

// A hook is where in the kernel packets enter a chain.
type hook struct {
	number   uint32 // enum nf_inet_hooks
	name     string
	priority int32
	policy   uint32
	kind     string // of the chain, "filter"
}

// A rule is what happens to the packets that match.
type rule struct {
	statements []statement
	comment    string
}

// Names of sets and counters. `devices`, `in` and `out` are words of nft's own grammar, hence the longer names.
const (
	setDevices = "rw_devices"
	setOwn     = "own"    // and the family: own4, own6
	setFabric  = "fabric" // fabric4, fabric6

	prefixAccess   = "access_"  // and the ID of the access entry
	prefixDropped  = "dropped_" // and why
	counterAnswers = "answers"
)

// Names of the chains of each direction.
const (
	chainOut     = "outbound"
	chainIn      = "inbound"
	chainTransit = "transit"
)

// Compile returns the table that a plan asks for. Lists that are equal become one set.
func Compile(g *plan.Gateway) *Ruleset {
	b := &builder{
		rules: map[plan.Direction][]rule{}, answers: map[plan.Direction][]rule{}, lists: map[[sha256.Size]byte]*set{}, taken: map[string]bool{},
	}
	b.devices = b.addSet(newSet(setDevices, names, nameSpans(g.Devices)))
	guard := b.guard(&g.Firewall)
	for i := range g.Firewall.Rules {
		r := &g.Firewall.Rules[i]
		b.access(r, slices.Contains(g.Firewall.Answers, r.Direction))
	}
	return b.ruleset(&g.Firewall, guard, b.toDaemon(g.BGP))
}

// A builder gathers the sets and counters that the rules need.
type builder struct {
	sets     []*set
	devices  *set
	rules    map[plan.Direction][]rule
	answers  map[plan.Direction][]rule // by the way that the answers go
	counters []string
	lists    map[[sha256.Size]byte]*set
	taken    map[string]bool
}

func (b *builder) addSet(s *set) *set {
	b.sets = append(b.sets, s)
	b.taken[s.name] = true
	return s
}

// intern returns the set of those elements. Its name begins with a word for its kind and ends in its digest, so that equal lists
// have one name in every plan.
func (b *builder) intern(k kind, elements spans) *set {
	s := newSet("", k, elements)
	if known := b.lists[s.digest]; known != nil {
		return known
	}
	word := map[kind]string{ipv4: "list4_", ipv6: "list6_", ports: "ports_"}[k]
	s.name = unusedName(fmt.Sprintf("%s%x", word, s.digest[:4]), b.taken)
	b.lists[s.digest] = s
	return b.addSet(s)
}

// nameSpans returns the names of the devices as elements: a name never fills its 16 bytes (IFNAMSIZ counts the final NUL).
func nameSpans(devices []plan.Device) spans {
	var sorted []string
	for i := range devices {
		sorted = append(sorted, devices[i].Name)
	}
	slices.Sort(sorted)
	out := spans{size: names.size()}
	for _, name := range slices.Compact(sorted) {
		key := make([]byte, out.size)
		copy(key[:out.size-1], name)
		out.add(span{key, key})
	}
	return out
}

func unusedName(name string, taken map[string]bool) string {
	for n, base := 2, name; taken[name]; n++ {
		name = fmt.Sprintf("%s_%d", base, n)
	}
	return name
}

func (b *builder) counter(name string) count {
	if !slices.Contains(b.counters, name) {
		b.counters = append(b.counters, name)
	}
	return count{name}
}

// families are the two that a prefix list is divided into.
func families() []kind { return []kind{ipv4, ipv6} }

// digit names a family in the name of a set.
func digit(k kind) string {
	if k == ipv6 {
		return "6"
	}
	return "4"
}

// guard returns the rules that keep the place's packets for the fabric from leaving by any other way. They come before
// everything else: a flow that was established through a device must not go on in clear when the device is gone.
func (b *builder) guard(f *plan.Firewall) []rule {
	var out []rule
	for _, k := range families() {
		own, all := prefixSpans(f.Own, k), prefixSpans(f.Fabric, k)
		if own.len() == 0 || all.len() == 0 {
			continue
		}
		ownSet := b.addSet(newSet(setOwn+digit(k), k, own))
		allSet := b.addSet(newSet(setFabric+digit(k), k, all))
		out = append(out, rule{comment: "guard", statements: []statement{
			device{out: true, not: true, set: b.devices},
			address{set: ownSet}, address{dst: true, set: allSet}, address{dst: true, not: true, set: ownSet},
			b.counter(prefixDropped + "guard"), verdict{code: drop},
		}})
	}
	return out
}

// access adds the rules for one rule of the plan: one for each family and each kind of service. Where answers to it pass midstream, each of them has its own.
func (b *builder) access(r *plan.Rule, midstream bool) {
	for _, k := range families() {
		from, to := prefixSpans(r.From, k), prefixSpans(r.To, k)
		if from.len() == 0 || to.len() == 0 {
			continue
		}
		fromSet, toSet := b.intern(k, from), b.intern(k, to)
		counter := b.counter(fmt.Sprintf("%s%d", prefixAccess, r.ID))
		for _, what := range b.services(r.Services, k) {
			statements := []statement{address{set: fromSet}, address{dst: true, set: toSet}}
			statements = append(statements, what...)
			statements = append(statements, counter, verdict{code: accept})
			b.rules[r.Direction] = append(b.rules[r.Direction], rule{statements, fmt.Sprintf("access %d", r.ID)})
			if midstream {
				b.answer(r, toSet, fromSet, what)
			}
		}
	}
}

// services returns the matches, each for a rule of its own, that together mean the services; no service means no match.
func (b *builder) services(list []fabric.Service, k kind) [][]statement {
	if len(list) == 0 {
		return [][]statement{nil}
	}
	var out [][]statement
	for _, proto := range []struct {
		of fabric.Protocol
		is protocol
	}{{fabric.TCP, protocol{unix.IPPROTO_TCP, "tcp"}}, {fabric.UDP, protocol{unix.IPPROTO_UDP, "udp"}}} {
		switch ranges := portRanges(list, proto.of); len(ranges) {
		case 0:
		case 1:
			out = append(out, []statement{service{proto: proto.is, ports: ranges[0]}})
		default:
			out = append(out, []statement{service{proto: proto.is, set: b.intern(ports, portSpans(ranges))}})
		}
	}
	icmp := protocol{unix.IPPROTO_ICMP, "icmp"}
	if k == ipv6 {
		icmp = protocol{unix.IPPROTO_ICMPV6, "ipv6-icmp"}
	}
	if slices.ContainsFunc(list, func(s fabric.Service) bool { return s.Protocol == fabric.ICMP }) {
		out = append(out, []statement{icmp})
	}
	return out
}

// one is a rule without a comment.
func one(statements ...statement) rule { return rule{statements: statements} }

// dropRest ends a chain: what came so far is dropped and counted.
func (b *builder) dropRest(why string) rule {
	return rule{statements: []statement{b.counter(prefixDropped + why), verdict{code: drop}}}
}

// ruleset puts the chains together, in the order in which a packet meets them.
func (b *builder) ruleset(f *plan.Firewall, guard, toDaemon []rule) *Ruleset {
	from := device{set: b.devices}
	into := device{out: true, set: b.devices}
	direction := func(name string, d plan.Direction) chain {
		return chain{name: name, rules: append(b.rules[d], b.dropRest(string(d)))}
	}
	established := one(state{stateEstablished | stateRelated, "established,related"}, verdict{code: accept})
	invalid := one(state{stateInvalid, "invalid"}, b.counter(prefixDropped+"invalid"), verdict{code: drop})
	// ways leads a packet to the chain of its direction.
	ways := func(prefix string) []rule {
		return []rule{one(from, into, gotoChain(prefix+chainTransit)), one(from, gotoChain(prefix+chainIn)), one(gotoChain(prefix + chainOut))}
	}
	toMidstream, midstream := b.midstream(f, invalid, ways)
	r := &Ruleset{chains: slices.Concat([]chain{
		{
			name: "forward", hook: &hook{unix.NF_INET_FORWARD, "forward", 0, accept, "filter"},
			rules: append(guard, one(from, gotoChain("crossing")), one(into, gotoChain("crossing"))),
		},
		{
			name: "input", hook: &hook{unix.NF_INET_LOCAL_IN, "input", 0, accept, "filter"},
			rules: []rule{one(from, gotoChain("to_gateway"))},
		},
		{name: "crossing", rules: slices.Concat([]rule{one(clamp{}), established}, toMidstream, []rule{invalid}, ways(""))},
	}, midstream, []chain{
		direction(chainOut, plan.Out),
		direction(chainIn, plan.In),
		direction(chainTransit, plan.Transit),
		{name: "to_gateway", rules: slices.Concat([]rule{established}, icmpToGateway(), toDaemon, []rule{b.dropRest("input")})},
	})}
	r.sets, r.counters = b.sets, b.counters
	r.seal()
	return r
}

// icmpToGateway lets in echo requests and errors: errors about packets of the gateway itself come back even where connection
// tracking has forgotten them. WireGuard devices have no neighbours to discover, so neighbour discovery is not among them.
func icmpToGateway() []rule {
	var out []rule
	for _, t := range []icmpType{
		{false, 8, "echo-request"}, {false, 3, "destination-unreachable"}, {false, 11, "time-exceeded"}, {false, 12, "parameter-problem"},
		{true, 128, "echo-request"}, {true, 1, "destination-unreachable"}, {true, 2, "packet-too-big"}, {true, 3, "time-exceeded"}, {true, 4, "parameter-problem"},
	} {
		out = append(out, rule{statements: []statement{t, verdict{code: accept}}})
	}
	return out
}

// seal computes the digest.
func (r *Ruleset) seal() {
	h := sha256.New()
	for _, s := range r.sets {
		fmt.Fprintf(h, "set %s %x\n", s.name, s.digest)
	}
	for _, c := range r.counters {
		fmt.Fprintf(h, "counter %s\n", c)
	}
	for _, c := range r.chains {
		fmt.Fprintf(h, "chain %s %v\n", c.name, c.hook)
		for _, rule := range c.rules {
			fmt.Fprintln(h, rule.text())
		}
	}
	h.Sum(r.digest[:0])
}
