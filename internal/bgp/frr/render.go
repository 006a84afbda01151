package frr

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ropeway/internal/bgp"
	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// Render returns the configuration as FRR writes it, for people and for its own check. Passwords are not in it.
func Render(c *bgp.Config) string {
	return render(c).text()
}

// Large communities of ours (see plan.TagASN): the tags, and the marks of what a spoke told and of what a router of the place told, which stay on the gateway.
const (
	ours       = "114:"
	tags       = "114:1:"
	spokeMark  = "114:0:1"
	routerMark = "114:0:2"
)

// routerWord begins the context of all that is bgpd's.
const routerWord = "router bgp "

// render writes a configuration that check has let pass.
func render(c *bgp.Config) *script {
	r := &renderer{script: &script{router: fmt.Sprint(routerWord, c.ASN), known: map[string]bool{}}, c: c}
	r.simple("", "bgp route-map delay-timer 1")
	// Another zebra in this namespace takes every nexthop object of zebra's protocol for its own and deletes it as it starts; the kernel then drops the routes that name it,
	// and does not say so to the zebra that made them.
	r.add("", "no zebra nexthop kernel enable", "zebra nexthop kernel enable", "zebra nexthop kernel enable")
	r.lists()
	r.sources()
	r.policies()
	r.speaker()
	for _, n := range c.Neighbors {
		r.neighbor(n)
	}
	r.siblings()
	r.families()
	return r.script
}

type renderer struct {
	*script
	c   *bgp.Config
	in  []string // route maps by number of neighbour
	out []string
}

// lists are what all policies go by.
func (r *renderer) lists() {
	r.simple("", "bgp as-path access-list RW-OWN seq 5 permit ^$")
	r.simple("", "bgp large-community-list standard RW-SPOKE seq 5 permit "+spokeMark)
	r.simple("", "bgp large-community-list standard RW-ROUTER seq 5 permit "+routerMark)
	r.simple("", fmt.Sprintf("bgp large-community-list expanded RW-MARKS seq 5 permit ^%d:0:", plan.TagASN))
	r.simple("", fmt.Sprintf("bgp large-community-list expanded RW-OURS seq 5 permit ^%d:", plan.TagASN))
	r.simple("", "bgp community-list standard RW-SHUTDOWN seq 5 permit graceful-shutdown")
}

// mostHops bounds the length of AS paths that policies ask for: FRR compiles a regular expression of that size.
const mostHops = 64

// path returns the list of AS paths of so many ASes. What is between two of them is written as it is, a space: FRR's "_" is an alternative with anchors in it, and
// repeated it lets AS 650021 pass for 65002 and 1 (seen with glibc 2.36).
func (r *renderer) path(hops int) string {
	name := fmt.Sprintf("RW-HOPS-%d", hops)
	r.simple("", fmt.Sprintf("bgp as-path access-list %s seq 5 permit ^[0-9]+( [0-9]+){%d}$", name, hops-1))
	return name
}

// pathFrom returns the list of AS paths that begin with an AS and have so many ASes at most. Sets of ASes (RFC 9774) are none.
func (r *renderer) pathFrom(asn uint32, most int) string {
	name := fmt.Sprintf("RW-FROM-%d-%d", asn, most)
	r.simple("", fmt.Sprintf("bgp as-path access-list %s seq 5 permit ^%d( [0-9]+){0,%d}$", name, asn, most-1))
	return name
}

// tag returns the list of large communities that is one tag.
func (r *renderer) tag(n uint32) string {
	name := fmt.Sprintf("RW-TAG-%d", n)
	r.simple("", fmt.Sprintf("bgp large-community-list standard %s seq 5 permit %s%d", name, tags, n))
	return name
}

// foreign strips what comes from outside of all communities but those that ask for less, which FRR itself obeys, the first apart (see plan.TagASN). FRR holds what it
// writes of each community against an expanded list, and the first line that fits decides.
func (r *renderer) foreign() []string {
	for i, asks := range []string{"graceful-shutdown", "no-export", "no-advertise", "local-AS"} {
		r.simple("", fmt.Sprintf("bgp community-list expanded RW-FOREIGN seq %d deny ^%s$", 5*(i+1), asks))
	}
	r.simple("", "bgp community-list expanded RW-FOREIGN seq 100 permit .")
	r.simple("", "bgp large-community-list expanded RW-ANY seq 5 permit .")
	return []string{"set comm-list RW-FOREIGN delete", "set large-comm-list RW-ANY delete", "set extcommunity none"}
}

// prefixes returns the list of prefixes that holds those of a family and longer ones.
func (r *renderer) prefixes(all []netip.Prefix, is6 bool) string {
	list := slices.DeleteFunc(slices.Clone(all), func(p netip.Prefix) bool { return p.Addr().Is6() != is6 })
	word := "ip"
	if is6 {
		word = "ipv6"
	}
	name := "RW-" + digest(fmt.Sprint(word, list))
	for i, p := range list {
		longer := ""
		if p.Bits() < p.Addr().BitLen() {
			longer = fmt.Sprintf(" le %d", p.Addr().BitLen())
		}
		r.simple("", fmt.Sprintf("%s prefix-list %s seq %d permit %s%s", word, name, 5*(i+1), p, longer))
	}
	if len(list) == 0 {
		r.simple("", fmt.Sprintf("%s prefix-list %s seq 5 deny any", word, name))
	}
	return name
}

// digest names what was written by what it says.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}

// sources says what the gateway calls itself on routes that it learnt.
func (r *renderer) sources() {
	for _, a := range r.c.Sources {
		word := "ip"
		if a.Is6() {
			word = "ipv6"
		}
		name := r.policy([]entry{{permit: true, do: []string{"set src " + a.String()}}})
		r.add("", fmt.Sprintf("%s protocol bgp route-map %s", word, name), fmt.Sprintf("no %s protocol bgp", word), word+" protocol bgp")
	}
}

// An entry is one of a route map.
type entry struct {
	permit bool
	do     []string // match and set
	next   int      // number of the entry that follows where this one fits; 0: none does, it decides; -1: the next
}

// policy writes a route map and returns its name.
func (r *renderer) policy(entries []entry) string {
	name := "RW-" + digest(fmt.Sprint(entries))
	for i, e := range entries {
		verb := "deny"
		if e.permit {
			verb = "permit"
		}
		context := fmt.Sprintf("route-map %s %s %d", name, verb, 10*(i+1))
		for _, l := range e.do {
			r.add(context, l, "", l)
		}
		switch {
		case e.next < 0:
			r.add(context, "on-match next", "", "on-match")
		case e.next > 0:
			r.add(context, fmt.Sprintf("on-match goto %d", 10*e.next), "", "on-match")
		case len(e.do) == 0:
			r.add(context, "description otherwise", "", "description")
		}
	}
	return name
}

// policies writes what is believed of every neighbour and what it is told.
func (r *renderer) policies() {
	for _, n := range r.c.Neighbors {
		r.in, r.out = append(r.in, r.believe(n)), append(r.out, r.tellTo(n))
	}
}

// accepted matches what a neighbour may announce.
func (r *renderer) accepted(n *plan.Neighbor) []string {
	word := "ip"
	if n.Address.Is6() {
		word = "ipv6"
	}
	return []string{
		fmt.Sprintf("match %s address prefix-list %s", word, r.prefixes(n.Accept, n.Address.Is6())),
		"match as-path " + r.pathFrom(n.ASN, n.MaxHops),
	}
}

// preferred adds what routes are worth: the first preference that fits goes on to the entry that follows them all.
func (r *renderer) preferred(entries []entry, n *plan.Neighbor) []entry {
	after := len(entries) + len(n.Prefer) + 2
	for _, p := range n.Prefer {
		e := entry{permit: true, next: after}
		if p.Hops > 0 {
			e.do = append(e.do, "match as-path "+r.path(p.Hops))
		}
		if p.Tag > 0 {
			e.do = append(e.do, "match large-community "+r.tag(p.Tag))
		}
		e.do = append(e.do, worth(p)...)
		entries = append(entries, e)
	}
	return append(entries, entry{permit: true, do: worth(plan.Preference{}), next: -1})
}

// believe writes what is believed of a neighbour. What a router of the place announces looks as if the place originated it.
func (r *renderer) believe(n *plan.Neighbor) string {
	foreign := []string{"set large-comm-list RW-MARKS delete"}
	if n.External() {
		foreign = r.foreign()
	}
	entries := []entry{{permit: true, do: append(r.accepted(n), foreign...), next: 3}, {permit: false}} // what he may not announce ends at the second
	switch {
	case n.External():
		entries = append(entries, entry{permit: true, do: []string{"set large-community " + routerMark + " additive"}, next: -1})
	case n.Spoke:
		entries = append(entries, entry{permit: true, do: []string{"set large-community " + spokeMark + " additive"}, next: -1})
	}
	last := entry{permit: true}
	if n.External() {
		last.do = []string{fmt.Sprintf("set as-path exclude %d", n.ASN)} // hops are counted in the path as it came
	}
	shut := entry{permit: true, do: []string{"match community RW-SHUTDOWN", "set local-preference 0"}, next: -1} // whatever is preferred
	return r.policy(append(r.preferred(entries, n), shut, last))
}

func worth(p plan.Preference) []string {
	return []string{fmt.Sprintf("set local-preference %d", cmp.Or(p.LocalPreference, plan.DefaultLocalPreference)), fmt.Sprintf("set metric %d", p.Metric)}
}

// tellTo writes what a neighbour is told. What a router of the place announced counts as the place's own.
func (r *renderer) tellTo(n *plan.Neighbor) string {
	const last = 5 // the entry that all that is told comes to
	own := func(match string) entry {
		e := entry{permit: true, do: []string{match}, next: last}
		m := marking{}
		if n.External() {
			e.do = append(e.do, "set metric 0")
		} else {
			m.tag(r.c.Tags, n.Tags)
		}
		m.add(r.c.Communities)
		e.do = append(e.do, m.lines()...)
		return e
	}
	entries := []entry{own("match as-path RW-OWN"), own("match large-community RW-ROUTER"), {permit: false}, {permit: false}}
	switch n.Tell {
	case plan.TellAll:
		entries[2] = entry{permit: true, next: last}
	case plan.TellSpokes:
		entries[2] = entry{permit: true, do: []string{"match large-community RW-SPOKE"}, next: last}
	case plan.TellLearnt: // routers of one place hear each other without us
		entries = []entry{{do: []string{"match as-path RW-OWN"}}, {do: []string{"match large-community RW-ROUTER"}}, {permit: true, next: last}, {permit: false}}
	}
	return r.policy(append(entries, r.parting(n)...))
}

// parting ends what a neighbour is told: marks stay here, tags with gateways, who is drained says so, and routers of the place get what is announced beside.
func (r *renderer) parting(n *plan.Neighbor) []entry {
	e := entry{permit: true, do: []string{"set large-comm-list RW-MARKS delete"}}
	if n.External() {
		e.do = []string{"set large-comm-list RW-OURS delete"}
	}
	switch {
	case !r.c.Drained:
	case n.External():
		e.do = append(e.do, fmt.Sprintf("set metric +%d", plan.DrainMetric))
	default:
		e.next = -1
		return []entry{e, {permit: true, do: []string{"set community graceful-shutdown additive"}}}
	}
	if n.Announce == nil {
		return []entry{e}
	}
	e.next = -1
	return []entry{e, r.announced(n.Announce)}
}

// announced adds what routers of the place get beside routes.
func (r *renderer) announced(a *plan.Announce) entry {
	m := marking{}
	m.add(a.Communities)
	if a.NoExport {
		m.standard = append(m.standard, "no-export")
	}
	e := entry{permit: true, do: m.lines()}
	if a.Prepend > 0 {
		e.do = append(e.do, "set as-path prepend"+strings.Repeat(fmt.Sprintf(" %d", r.c.ASN), a.Prepend))
	}
	return e
}

// A marking is the communities that an entry adds. It has one line for each kind: in FRR a second one takes the place of the first.
type marking struct{ standard, large []string }

func (m *marking) tag(lists ...[]uint32) {
	for _, t := range slices.Concat(lists...) {
		m.large = append(m.large, tags+strconv.FormatUint(uint64(t), 10))
	}
}

func (m *marking) add(list []fabric.Community) {
	for _, c := range list {
		if c.Large() {
			m.large = append(m.large, c.String())
		} else {
			m.standard = append(m.standard, c.String())
		}
	}
}

func (m *marking) lines() (do []string) {
	if len(m.standard) > 0 {
		do = append(do, "set community "+strings.Join(m.standard, " ")+" additive")
	}
	if len(m.large) > 0 {
		do = append(do, "set large-community "+strings.Join(m.large, " ")+" additive")
	}
	return do
}

// speaker writes what holds for all sessions.
func (r *renderer) speaker() {
	for _, l := range []string{
		fmt.Sprintf("bgp router-id %s", r.c.RouterID),
		"bgp always-compare-med",
		"bgp deterministic-med",
		"bgp bestpath as-path multipath-relax",
		"bgp bestpath med missing-as-worst",
		"no bgp default ipv4-unicast",
		"no bgp network import-check",
		"bgp log-neighbor-changes",
	} {
		r.add(r.router, l, "", l)
	}
}

// neighbor writes what holds for one session, its family apart.
func (r *renderer) neighbor(n *plan.Neighbor) {
	to := "neighbor " + n.Address.String()
	set := func(what, value string) {
		r.add(r.router, to+" "+what+value, "no "+to+" "+what, to+" "+what)
	}
	r.add(r.router, fmt.Sprintf("%s remote-as %d", to, n.ASN), "no "+to, to)
	set("description", " "+n.Name)
	set("timers", fmt.Sprintf(" %d %d", bgp.Keepalive, bgp.Hold))
	set("timers connect", fmt.Sprintf(" %d", bgp.Connect))
	set("advertisement-interval", " 0")
	if n.External() {
		set("disable-connected-check", "")
		// FRR calls itself a helper of long-lived graceful restarts, which it cannot unsay alone, and BIRD then keeps the routes of a gateway that it misses by the hold time
		// for two minutes more.
		set("graceful-restart-disable", "")
	} else {
		set("update-source", " "+n.Local.String())
		set("sender-as-path-loop-detection", "")
	}
	if n.Password != "" {
		set("password", " "+placeholder(n.Password))
		r.lines[len(r.lines)-1].mark = digest(r.c.RouterID.String() + to + r.c.Passwords[n.Password])
	}
	if n.BFD != nil {
		r.add(r.router, to+" bfd profile "+r.watch(n.BFD), "no "+to+" bfd", to+" bfd") // without its profile alone it would be watched still
	}
}

// watch writes the profile of a neighbour that is watched by BFD. It is put before the router, which names it.
func (r *renderer) watch(b *plan.BFD) string {
	name := fmt.Sprintf("RW-%d-%d", b.Interval, b.Multiplier)
	context := "bfd" + separator + "profile " + name
	if r.known[context+"\ndetect-multiplier"] {
		return name
	}
	profile := &script{known: r.known}
	profile.add(context, fmt.Sprintf("detect-multiplier %d", b.Multiplier), "", "detect-multiplier")
	profile.add(context, fmt.Sprintf("receive-interval %d", b.Interval), "", "receive-interval")
	profile.add(context, fmt.Sprintf("transmit-interval %d", b.Interval), "", "transmit-interval")
	r.lines = append(profile.lines, r.lines...)
	return name
}

// siblings has bfdd watch the other gateways of the place, several hops away (RFC 5883).
func (r *renderer) siblings() {
	if r.c.Table == nil || r.c.Drained {
		return
	}
	for _, s := range r.c.Table.Siblings {
		peer := fmt.Sprintf("peer %s multihop local-address %s", s.Address, s.Local)
		context := "bfd" + separator + peer
		profile := r.watch(&s.BFD)
		r.add(context, "profile "+profile, "", "profile")
	}
}

// families writes what each family of addresses exchanges with whom.
func (r *renderer) families() {
	for _, is6 := range []bool{false, true} {
		context := r.router + separator + "address-family ipv4 unicast"
		if is6 {
			context = r.router + separator + "address-family ipv6 unicast"
		}
		for _, p := range r.c.Own {
			if p.Addr().Is6() == is6 {
				r.simple(context, "network "+p.String())
			}
		}
		r.add(context, fmt.Sprintf("maximum-paths %d", r.c.MaxPaths), "", "maximum-paths")
		for i, n := range r.c.Neighbors {
			if n.Address.Is6() == is6 {
				r.session(context, n, r.in[i], r.out[i])
			}
		}
	}
}

// session writes what a family exchanges with a neighbour. It is told who is believed before it begins to listen.
func (r *renderer) session(context string, n *plan.Neighbor, in, out string) {
	to := "neighbor " + n.Address.String()
	set := func(key, line string) { r.add(context, to+" "+line, "no "+to+" "+line, to+" "+key) }
	set("in", "route-map "+in+" in")
	set("out", "route-map "+out+" out")
	set("maximum-prefix", fmt.Sprintf("maximum-prefix %d restart 1", n.MaxPrefixes))
	if n.External() || n.Tell == plan.TellLearnt {
		set("unchanged", "attribute-unchanged med") // FRR tells no other AS a metric of its own accord
	}
	set("activate", "activate")
}
