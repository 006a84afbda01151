package adopt

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/key"
)

// A machine is a gateway in the making.
type machine struct {
	name      string
	key       key.Public
	configs   []*Config // none: others speak of it
	endpoints map[fabric.Endpoint]int
	claims    map[netip.Prefix][]*machine // what others send to it, by who does
	tunnel    []netip.Prefix              // its addresses in the tunnels, host prefixes
	keepalive bool                        // it keeps a session open from its side

	endpoint fabric.Endpoint
	port     uint16
	nat      bool
	mtu      int // of its underlay; 0: the usual
	prefixes []netip.Prefix
	notes    []string // what could not be told, for the file
	joined   map[*machine]bool
}

// A maker puts configurations together.
type maker struct {
	machines []*machine // by name
	byName   map[string]*machine
	byKey    map[key.Public]*machine
	problems diag.List
}

// note warns of something that was not told or is not taken over.
func (m *maker) note(of *machine, message, hint string) {
	text := message
	if hint != "" {
		text += "; " + hint
	}
	of.notes = append(of.notes, text)
	m.problems = append(m.problems, diag.Problem{Code: codeUntold, Severity: diag.Warning, Subject: "gateway " + of.name, Message: message, Hint: hint})
}

// gather makes a machine for every name and for every peer that no name has.
func (m *maker) gather(configs []Config) {
	for i := range configs {
		c := &configs[i]
		of := m.machine(c.Name)
		of.configs = append(of.configs, c)
		if !c.Public.IsZero() && m.byKey[c.Public] == nil {
			m.byKey[c.Public] = of
			of.key = firstKey(of.key, c.Public)
		}
	}
	for i := range configs {
		for _, p := range configs[i].Peers {
			if !p.Public.IsZero() && m.byKey[p.Public] == nil {
				of := m.machine(m.free(p.Label))
				of.key, m.byKey[p.Public] = p.Public, of
			}
		}
	}
	m.machines = slices.SortedFunc(maps.Values(m.byName), func(a, b *machine) int { return cmp.Compare(a.name, b.name) })
}

// firstKey returns the first of two keys that is known.
func firstKey(a, b key.Public) key.Public {
	if a.IsZero() {
		return b
	}
	return a
}

func (m *maker) machine(name string) *machine {
	if m.byName[name] == nil {
		m.byName[name] = &machine{name: name, endpoints: map[fabric.Endpoint]int{}, claims: map[netip.Prefix][]*machine{}, joined: map[*machine]bool{}}
	}
	return m.byName[name]
}

// free returns a name that nobody has: the label, or one like it.
func (m *maker) free(label string) string {
	if label != "" && m.byName[label] == nil {
		return label
	}
	if label == "" {
		label = "peer"
	}
	for n := 1; ; n++ {
		if name := fmt.Sprintf("%s-%d", label, n); m.byName[name] == nil {
			return name
		}
	}
}

// connect notes who peers with whom, and what each says of the other.
func (m *maker) connect() {
	for _, from := range m.machines {
		for _, c := range from.configs {
			for i := range c.Peers {
				m.hear(from, &c.Peers[i])
			}
		}
	}
}

func (m *maker) hear(from *machine, p *Peer) {
	to := m.byKey[p.Public]
	switch {
	case to == nil:
		m.note(from, "one of its peers has no public key", "mend the configuration")
		return
	case to == from:
		m.note(from, "it has a peer with its own key, which WireGuard ignores", "")
		return
	}
	from.joined[to], to.joined[from] = true, true
	from.keepalive = from.keepalive || p.Keepalive > 0
	if p.Preshared {
		m.note(from, "it shares a preshared key with "+to.name, "preshared keys are not part of this version; the key was not read")
	}
	if !p.Endpoint.IsZero() {
		to.endpoints[p.Endpoint]++
	}
	for _, a := range p.Allowed {
		if !slices.Contains(to.claims[a], from) {
			to.claims[a] = append(to.claims[a], from)
		}
	}
}

// settle decides about what a machine's own configurations say.
func (m *maker) settle(of *machine) {
	for _, c := range of.configs {
		for _, word := range c.Ignored {
			m.note(of, word+" is not taken over", "see whether something depends on it")
		}
		if of.port == 0 {
			of.port = c.ListenPort
		} else if c.ListenPort != 0 && c.ListenPort != of.port {
			m.note(of, fmt.Sprintf("it listens on several ports; %d is taken", of.port), "a gateway has one")
		}
		for _, a := range c.Addresses {
			of.tunnel = append(of.tunnel, netip.PrefixFrom(a.Addr(), a.Addr().BitLen()))
		}
		m.underlay(of, c.MTU)
	}
	if len(of.configs) == 0 {
		m.note(of, "there is no configuration of its own, only what others say of it", "import its configuration, too, if you have it")
	} else if of.key.IsZero() {
		m.note(of, "its configuration does not tell its key, so nobody knows which of the others' peers it is", "wg show all dump, as root, tells it")
	}
}

// What WireGuard takes of an underlay's MTU where it may be IPv6, as wg-quick reckons; and the least underlay that carries IPv6 inside as well.
const (
	overhead    = 80
	minUnderlay = 1280 + overhead
)

// underlay takes the MTU of a device for that of its underlay.
func (m *maker) underlay(of *machine, mtu int) {
	switch under := mtu + overhead; {
	case mtu == 0 || under == fabric.DefaultUnderlayMTU || of.mtu != 0:
	case under < minUnderlay || under > fabric.MaxMTU:
		m.note(of, fmt.Sprintf("its MTU of %d is out of the ordinary and not taken over", mtu), "set underlay: {mtu: N} to what its path carries")
	default:
		of.mtu = under
	}
}
