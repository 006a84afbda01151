package intent

import (
	"crypto/sha256"
	"fmt"
	"net/netip"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
)

// Read returns what a fabric file means, and everything that is wrong with it, in the order of the file (of a file with
// thousands of errors, the first of them); name stands in the positions. The Fabric is nil where the list holds an error; warnings do not stop it.
func Read(name string, data []byte) (*Fabric, diag.List) {
	file, problems := fabric.Parse(name, data)
	if file == nil {
		return nil, problems
	}
	r := &reader{
		spec:     &file.Spec,
		fabric:   &Fabric{Name: file.Metadata.Name.Value, Topology: fabric.TopologyMode(file.Spec.Topology.Mode.Value)},
		places:   map[string]*Place{},
		written:  map[*Place]*fabric.Place{},
		segments: map[string]*resolved{},
		cache:    map[string]*resolved{},
		linkAt:   map[diag.Position]int{},
	}
	r.readRouting()
	r.readPlaces()
	r.readOwners()
	r.readPools()
	r.readEndpoints()
	r.readTopology()
	r.readLinks()
	r.checkLinks()
	r.readSpeakers()
	r.readSegments()
	r.readAccess()
	r.checkTunnels()
	r.readTests()
	problems = append(problems, r.problems...)
	problems.Sort()
	if problems.Failed() {
		return nil, problems
	}
	return r.fabric, problems
}

// A reader gives the words of one file their meaning, step by step, and collects what is wrong on the way. What Parse reported
// already it passes over in silence.
type reader struct {
	spec     *fabric.Spec
	fabric   *Fabric
	problems diag.List

	places    map[string]*Place
	written   map[*Place]*fabric.Place // where a place comes from
	owners    owners
	partial   bool // a place's prefixes could not all be read: nobody can say that an address has no owner
	segments  map[string]*resolved
	cache     map[string]*resolved // selectors by their text
	endpoints map[*Place]reach
	linkAt    map[diag.Position]int // links by where they stand
	failed    bool
}

// maxProblems bounds what is reported of one file, as in package fabric.
const maxProblems = 1000

// full reports whether no more problems are taken: an error always is, if it is the first.
func (r *reader) full() bool { return r.failed && len(r.problems) >= maxProblems }

// fail and warn report a problem of an object.
func (r *reader) fail(code diag.Code, at diag.Position, subject, message, hint string) {
	if r.full() {
		return
	}
	r.failed = true
	r.problems = append(r.problems, diag.Problem{Code: code, Severity: diag.Error, Subject: subject, Message: message, Hint: hint, Position: at})
}

func (r *reader) warn(code diag.Code, at diag.Position, subject, message, hint string) {
	if len(r.problems) >= maxProblems {
		return
	}
	r.problems = append(r.problems, diag.Problem{Code: code, Severity: diag.Warning, Subject: subject, Message: message, Hint: hint, Position: at})
}

// called returns what messages call an object: names are harmless where they are valid, and in quotes where they are not.
func called(noun, name string) string {
	if !fabric.ValidName(name) {
		name = diag.Quote(name)
	}
	return noun + " " + name
}

// subject returns what messages call a place.
func (p *Place) subject() string { return called(string(p.Kind), p.Name) }

// twice reports a name that is taken.
func (r *reader) twice(name fabric.Text, noun string, first diag.Position) {
	r.fail("RW1102", name.At, called(noun, name.Value), fmt.Sprintf("the name %s is taken", diag.Quote(name.Value)),
		fmt.Sprintf("line %d has it already; choose another", first.Line))
}

func (r *reader) readPlaces() {
	gateways := map[string]diag.Position{}
	r.readKind(fabric.Region, r.spec.Regions, gateways)
	r.readKind(fabric.Site, r.spec.Sites, gateways)
	if len(r.fabric.Places) == 0 && r.spec.At.Line > 0 {
		r.partial = true
		r.fail("RW1008", r.spec.At, "spec", "there is neither a region nor a site", "a fabric joins at least one place; write regions: or sites:")
	}
}

func (r *reader) readKind(kind fabric.Kind, list []fabric.Place, gateways map[string]diag.Position) {
	for i := range list {
		w := &list[i]
		p := &Place{Name: w.Name.Value, Kind: kind, Provider: w.Provider.Value, UnderlayMTU: fabric.DefaultUnderlayMTU, Position: w.At}
		if w.Underlay.MTU.Given() {
			p.UnderlayMTU = w.Underlay.MTU.Value
		}
		if first := r.places[p.Name]; first == nil {
			r.places[p.Name] = p
		} else if w.Name.Given() {
			r.twice(w.Name, string(kind), r.written[first].Name.At)
		}
		r.written[p] = w
		r.readGateways(p, w.Gateways, gateways)
		r.fabric.Places = append(r.fabric.Places, p)
	}
}

func (r *reader) readGateways(p *Place, list []fabric.Gateway, seen map[string]diag.Position) {
	for _, w := range list {
		g := &Gateway{Name: w.Name.Value, Place: p, Zone: w.Zone.Value, Cores: w.Cores.Value, Port: fabric.DefaultPort, NAT: w.NAT.Value, Position: w.At}
		if w.Port.Given() {
			g.Port = uint16(w.Port.Value)
		}
		if w.Endpoint.Given() {
			g.Endpoint = fabric.Endpoint{Host: w.Endpoint.Value, Port: g.Port}
		}
		if first, taken := seen[g.Name]; taken && w.Name.Given() {
			r.twice(w.Name, "gateway", first)
		} else {
			seen[g.Name] = w.Name.At
		}
		p.Gateways = append(p.Gateways, g)
	}
}

// readEndpoints checks where gateways are reached: each in a place of its own, and none through the tunnels that it holds up.
func (r *reader) readEndpoints() {
	seen := map[fabric.Endpoint]string{}
	r.endpoints = map[*Place]reach{}
	for _, p := range r.fabric.Places {
		var sum reach
		for i, g := range p.Gateways {
			at := r.written[p].Gateways[i].Endpoint.At
			sum.add(g)
			if g.Endpoint.IsZero() {
				continue
			}
			if first, taken := seen[g.Endpoint]; taken {
				r.fail("RW1305", at, called("gateway", g.Name), fmt.Sprintf("endpoint %s is that of %s, too", shown(g.Endpoint), called("gateway", first)), "give one of them another address or another port")
			} else {
				seen[g.Endpoint] = g.Name
			}
			if addr, ok := g.Endpoint.Addr(); ok {
				r.outside(g, addr, at)
			}
		}
		r.endpoints[p] = sum
	}
}

// shown returns an endpoint as a message may show it.
func shown(e fabric.Endpoint) string {
	if fabric.ValidHost(e.Host) {
		return e.String()
	}
	return diag.Quote(e.Host)
}

// outside refuses an endpoint that the fabric itself would route: packets of the tunnel would enter the tunnel.
func (r *reader) outside(g *Gateway, addr netip.Addr, at diag.Position) {
	single := netip.PrefixFrom(addr, addr.BitLen())
	inside := ""
	if own := r.owners.within(single); len(own) > 0 {
		inside = fmt.Sprintf("%s of %s", r.owners.covering(own[0]).prefix, own[0].place.subject())
	}
	pools := &r.fabric.Pools
	for _, pool := range append([]netip.Prefix{pools.Links4, pools.Links6}, pools.Devices...) {
		if pool.IsValid() && pool.Contains(addr) {
			inside = fmt.Sprintf("the pool %s", pool)
		}
	}
	if inside != "" {
		r.fail("RW1206", at, called("gateway", g.Name), fmt.Sprintf("endpoint %s lies in %s, which is reached through the tunnels", addr, inside),
			"give the address that the other gateways reach without the fabric")
	}
}

// ula returns the /64 that tunnels of a fabric use where the file names none: fd, 40 bits out of the SHA-256 of the name, subnet 0
// (RFC 4193, section 3.1, with the hash in place of a random number so that the same file always means the same).
func ula(name string) netip.Prefix {
	sum := sha256.Sum256([]byte("ropeway fabric " + name))
	b := [16]byte{0: 0xfd}
	copy(b[1:6], sum[:5])
	return netip.PrefixFrom(netip.AddrFrom16(b), 64)
}
