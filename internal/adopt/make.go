package adopt

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/key"
)

// Make returns a fabric file of a name, and what could not be told or is not taken over. The file is valid. It is nil where the list holds an
// error: nothing that is told makes a fabric.
func Make(name string, configs []Config) ([]byte, diag.List) {
	m := &maker{byName: map[string]*machine{}, byKey: map[key.Public]*machine{}}
	m.gather(configs)
	m.connect()
	for _, of := range m.machines {
		m.settle(of)
	}
	m.divide()
	m.reach()
	m.drop()
	if why := m.hopeless(); why != "" {
		return nil, append(m.problems, diag.Problem{Code: codeNothing, Severity: diag.Error, Subject: "fabric " + name, Message: why,
			Hint: "import the configurations of more machines"})
	}
	s := m.form()
	m.problems.Sort()
	return []byte(m.write(name, s)), m.problems
}

// mostPlaces is how many sites a fabric file holds; see package fabric.
const mostPlaces = 2048

// hopeless says why the machines make no fabric, or "".
func (m *maker) hopeless() string {
	dialled := slices.ContainsFunc(m.machines, func(of *machine) bool { return !of.endpoint.IsZero() })
	switch {
	case len(m.machines) == 0:
		return "no address behind any machine is told"
	case len(m.machines) > mostPlaces:
		return fmt.Sprintf("they tell of %d machines, and a fabric has %d places at most", len(m.machines), mostPlaces)
	case len(m.machines) > 1 && !dialled:
		return "of no machine an endpoint is told, so no tunnel could begin"
	case !m.pool().IsValid():
		return "their prefixes take all of 100.64.0.0/10, and tunnels need addresses of their own"
	}
	return ""
}

// usualPool is the pool of tunnel addresses where a file names none.
var usualPool = netip.MustParsePrefix("100.64.0.0/16")

// pool returns a /16 of the space that carriers share (RFC 6598) in which no prefix and no endpoint lies.
func (m *maker) pool() netip.Prefix {
	for second := 64; second < 128; second++ {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(second), 0, 0}), usualPool.Bits())
		used := slices.ContainsFunc(m.machines, func(of *machine) bool {
			a, ok := of.endpoint.Addr()
			return ok && p.Contains(a) || slices.ContainsFunc(of.prefixes, p.Overlaps)
		})
		if !used {
			return p
		}
	}
	return netip.Prefix{}
}

// pools returns what the file says of pools: nothing where the usual ones are free.
func (m *maker) pools() string {
	var out []string
	if four := m.pool(); four != usualPool {
		out = append(out, four.String())
	}
	ula := netip.MustParsePrefix("fd00::/8") // RFC 4193; the usual pool is a hash of the fabric's name in it
	lies := func(within netip.Prefix) bool {
		return slices.ContainsFunc(m.machines, func(of *machine) bool { return slices.ContainsFunc(of.prefixes, within.Overlaps) })
	}
	for n := 0; n < 256 && lies(ula); n++ {
		if six := netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, byte(n)}), 64); !lies(netip.PrefixFrom(six.Addr(), leastBits6)) {
			out = append(out, six.String())
			break
		}
	}
	return strings.Join(out, ", ")
}

// write returns the file.
func (m *maker) write(name string, s *shape) string {
	var b strings.Builder
	b.WriteString(`# Made by "ropeway import" out of WireGuard configurations. Read it through before you apply it: every comment below a gateway is something
# that the configurations did not tell, or that Ropeway does not take over. Gateways get new addresses inside the tunnels.
apiVersion: ropeway/v1
kind: Fabric
`)
	fmt.Fprintf(&b, "metadata: {name: %s}\nspec:\n  topology: %s\n", scalar(name), s.text())
	if pools := m.pools(); pools != "" {
		fmt.Fprintf(&b, "  addressing: {links: [%s]}\n", pools)
	}
	b.WriteString("\n  # WireGuard does not tell which places are regions of a cloud.\n  sites:\n")
	for _, of := range m.machines {
		m.writePlace(&b, s, of)
	}
	if len(s.links) > 0 {
		b.WriteString("\n  links:\n")
		for _, l := range s.links {
			fmt.Fprintf(&b, "    - {between: [%s]}\n", names(l[:]))
		}
	}
	b.WriteString("\n  # WireGuard lets everybody send to everybody whose prefixes he has. Name who needs whom, and what you do not name is denied.\n")
	b.WriteString("  access:\n    - {from: any, to: any}\n")
	return b.String()
}

func (m *maker) writePlace(b *strings.Builder, s *shape, of *machine) {
	fmt.Fprintf(b, "    - name: %s\n", scalar(of.name))
	if of.mtu != 0 {
		fmt.Fprintf(b, "      underlay: {mtu: %d}\n", of.mtu)
	}
	if own := s.of[of]; len(own) > 0 {
		fmt.Fprintf(b, "      hubs: [%s]\n", names(own))
	}
	texts := make([]string, len(of.prefixes))
	for i, p := range of.prefixes {
		texts[i] = p.String()
	}
	fmt.Fprintf(b, "      prefixes: [%s]\n      gateways:\n", quoteIPv6(texts))
	fmt.Fprintf(b, "        - %s\n", of.gateway())
	if k := of.key.String(); k != "" {
		fmt.Fprintf(b, "          # Its public key was %s\n", k)
	}
	for _, n := range of.notes {
		fmt.Fprintf(b, "          # %s.\n", n)
	}
}

// quoteIPv6 joins prefixes for a YAML list: one that begins with a colon is no plain scalar.
func quoteIPv6(texts []string) string {
	for i, t := range texts {
		if strings.Contains(t, ":") {
			texts[i] = `"` + t + `"`
		}
	}
	return strings.Join(texts, ", ")
}

// scalar writes a name as YAML text, in quotes where it would be read as a number or as one of YAML's words, those of its older versions too.
func scalar(name string) string {
	words := []string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
	if name[0] >= 'a' && !slices.Contains(words, name) {
		return name
	}
	return `"` + name + `"`
}

func (of *machine) gateway() string {
	parts := []string{"name: " + scalar(of.name)}
	if !of.endpoint.IsZero() {
		parts = append(parts, `endpoint: "`+of.endpoint.Host+`"`)
	}
	if of.port != 0 && of.port != fabric.DefaultPort {
		parts = append(parts, fmt.Sprintf("port: %d", of.port))
	}
	if of.nat {
		parts = append(parts, "nat: true")
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
