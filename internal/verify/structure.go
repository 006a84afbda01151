package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ropeway/internal/diag"
	"ropeway/internal/plan"
)

// structural notes a problem of a single gateway or place.
func (m *Model) structural(p diag.Problem) { m.problems = append(m.problems, p) }

func routerProblem(p *plan.Place, gateway string) diag.Problem {
	return diag.Problem{
		Code: "RW3028", Severity: diag.Error, Subject: "router " + p.Name,
		Message: fmt.Sprintf("gives packets to %s, which is no gateway of this place", diag.Quote(gateway)),
		Hint:    "compile the plan again",
	}
}

func nameProblem(kind, name, message string) diag.Problem {
	return diag.Problem{
		Code: "RW3033", Severity: diag.Error, Subject: kind + " " + diag.Quote(name), Message: message, Hint: "compile the plan again",
	}
}

func tooLarge(g *plan.Gateway, what string, n int) diag.Problem {
	return diag.Problem{
		Code: "RW3029", Severity: diag.Error, Subject: "gateway " + g.Name,
		Message: fmt.Sprintf("has %d %s; the proof counts %d at most, so it leaves some out", n, what, most),
		Hint:    "spread them over several gateways",
	}
}

// structure returns the problems of single gateways, devices and places.
func (m *Model) structure() diag.List {
	all := slices.Clone(m.problems)
	for i := range m.devices {
		all = append(all, m.sessionProblems(&m.devices[i])...)
	}
	all = append(all, m.repeatedProblems()...)
	all = append(all, m.partedProblems()...)
	all = append(all, m.ownership()...)
	return limited(all)
}

// limited keeps the first problems of every code and counts the rest.
func limited(all diag.List) diag.List {
	all.Sort()
	shown, rest := map[diag.Code]int{}, map[diag.Code]int{}
	var out diag.List
	for _, p := range all {
		if shown[p.Code]++; shown[p.Code] <= limit {
			out = append(out, p)
		} else {
			rest[p.Code]++
		}
	}
	return append(out, unspoken(rest)...)
}

// faults say why there is no session: code, and words about a gateway and the peer that it names.
var faults = map[fault]struct{ code, words, hint string }{
	unknownPeer:  {"RW3022", "names %[2]s as a peer, and the plan has no other gateway of that name", "compile the plan again"},
	repeatedPeer: {"RW3022", "names %[2]s as a peer twice", "compile the plan again"},
	oneSided:     {"RW3022", "names %[2]s as a peer, and %[2]s does not name %[1]s", "both ends of a link need each other as peers: compile the plan again"},
	ownKey:       {"RW3023", "and %[2]s have the same key, and WireGuard ignores a peer with the device's own key", "make a new key pair for one of them"},
	repeatedKey:  {"RW3023", "has two peers with the key of %[2]s, and WireGuard keeps one of them", "make a new key pair for one of them"},
	otherKey:     {"RW3023", "and %[2]s do not agree on each other's keys", "give both plans the public key that the gateway has"},
	noEndpoint:   {"RW3024", "and %[2]s cannot reach each other: neither has an endpoint of the other", "give one of them an endpoint"},
	wrongPort:    {"RW3024", "and %[2]s cannot reach each other: no endpoint has the port that the other listens on", "give the endpoint the listen port"},
}

// faultText says why a packet finds no session.
func faultText(f fault, self, peer string) string {
	switch f {
	case peerDown:
		return fmt.Sprintf("gateway %s is down", peer)
	case linkCut:
		return fmt.Sprintf("the path between %s and %s is cut", self, peer)
	}
	return fmt.Sprintf("gateway %s "+faults[f].words, self, peer)
}

// sessionProblems returns what is wrong with a device's peers, a problem per kind: the first peer, and how many more. What both ends see
// is told once, by the one whose name comes first.
func (m *Model) sessionProblems(x *device) diag.List {
	var out diag.List
	more := map[diag.Code]int{}
	self := m.gateways[x.gateway].Name
	for k := range x.sessions {
		s := &x.sessions[k]
		if s.fault == noFault && s.seen == 0 || x.Peers[k] == nil {
			continue
		}
		for _, p := range m.peerProblems(x, k) {
			if slices.ContainsFunc(out, func(o diag.Problem) bool { return o.Code == p.Code }) {
				more[p.Code]++
				continue
			}
			p.Subject = "gateway " + self
			out = append(out, p)
		}
	}
	for i := range out {
		if n := more[out[i].Code]; n > 0 {
			out[i].Message += fmt.Sprintf("; the same with %d more of its peers", n)
		}
	}
	return out
}

// peerProblems returns what is wrong with one peer.
func (m *Model) peerProblems(x *device, k int) (out diag.List) {
	p, s := x.Peers[k], &x.sessions[k]
	self, peer := m.gateways[x.gateway].Name, strings.Trim(diag.Quote(p.Gateway), `"`)
	add := func(code diag.Code, severity diag.Severity, message, hint string) {
		out = append(out, diag.Problem{Code: code, Severity: severity, Message: message, Hint: hint})
	}
	told := func(seen func(other *session) bool) bool { // by the other end
		return peer < self && s.far != nobody && s.back != 0 && seen(&m.devices[s.far].sessions[s.back-1])
	}
	if f, bad := faults[s.fault]; bad && !told(func(o *session) bool { return o.fault == s.fault }) {
		add(diag.Code(f.code), diag.Error, fmt.Sprintf("%s "+f.words, self, peer), f.hint)
	}
	if s.seen&sightTooBig != 0 && !told(func(o *session) bool { return o.seen&sightTooBig != 0 }) {
		real := m.facts.underlay(m.gateways[x.gateway].Place, m.placeName(s.far), p.Underlay)
		add("RW3026", diag.Error, fmt.Sprintf("the MTU %d of the link to %s does not fit an underlay of %d bytes: packets of %d to %d bytes vanish",
			p.MTU, peer, real, s.fits+1, p.MTU), "give the place or link its real underlay mtu, and compile the plan again")
	}
	if s.seen&sightWrongPort != 0 {
		add("RW3024", diag.Error, fmt.Sprintf("dials %s on port %d, where nobody listens; the session lives by the other end's calls alone",
			peer, p.Endpoint.Port), "give the endpoint the listen port")
	}
	if s.seen&sightNoKeepalive != 0 {
		add("RW3025", diag.Warning, fmt.Sprintf("alone can dial %s and keeps nothing open: %s cannot reach it until it has something to say",
			peer, peer), "give the peer a keepalive")
	}
	return out
}

func (m *Model) placeName(dev int32) string { return m.gateways[m.devices[dev].gateway].Place }

// ownership returns what is wrong with who owns what: two places with the same addresses, or a place with other prefixes than the file
// gives it.
func (m *Model) ownership() diag.List {
	var out diag.List
	add := func(code diag.Code, subject, message string) {
		out = append(out, diag.Problem{Code: code, Severity: diag.Error, Subject: subject, Message: message, Hint: "compile the plan again"})
	}
	type owned struct {
		prefix netip.Prefix
		place  int
	}
	var all []owned
	for i := range m.places {
		for _, p := range m.pool.text(m.places[i].own) {
			all = append(all, owned{p, i})
		}
	}
	slices.SortFunc(all, func(a, b owned) int { return a.prefix.Compare(b.prefix) })
	widest := -1
	for i, o := range all {
		if widest >= 0 && all[widest].prefix.Overlaps(o.prefix) {
			if all[widest].place != o.place {
				add("RW3027", "place "+m.places[o.place].Name, fmt.Sprintf("owns %s, which overlaps %s of place %s",
					o.prefix, all[widest].prefix, m.places[all[widest].place].Name))
			}
			continue
		}
		widest = i
	}
	for _, p := range m.world.in.Places {
		var have []netip.Prefix
		if n := m.placeOf(p.Name); n != nobody {
			have = m.pool.text(m.places[n].own)
		}
		want := slices.SortedFunc(slices.Values(p.Prefixes), netip.Prefix.Compare)
		if !slices.Equal(want, have) {
			add("RW3030", "place "+p.Name, "has other prefixes in the plan than in the fabric file")
		}
	}
	return out
}
