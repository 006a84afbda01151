package fabric

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	"ropeway/internal/diag"
)

// APIVersion and DocumentKind open every fabric file.
const (
	APIVersion   = "ropeway/v1"
	DocumentKind = "Fabric"
)

// Bounds of an MTU in bytes. MinUnderlayMTU is what every IPv4 host accepts (RFC 791, section 3.1); MaxMTU the size of an IP
// packet; MinInnerMTU what every IPv4 link carries (RFC 791, section 3.2).
const (
	MinUnderlayMTU = 576
	MinInnerMTU    = 68
	MaxMTU         = 65535
)

// A rule says what a scalar may be. Exactly one of check, oneOf and max is set.
type rule struct {
	check    func(string) *fault // judges a text
	oneOf    []string            // the words it may be
	min, max int                 // bounds of a number
	code     diag.Code           // of a number out of bounds
	schema   map[string]any      // what JSON Schema can say of it
}

// A fault is what is wrong with a scalar, before anybody knows where it stands.
type fault struct {
	code          diag.Code
	message, hint string
}

// rules returns the rules that is: tags name.
func rules() map[string]rule {
	const (
		name   = `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`
		prefix = `[0-9a-fA-F:.]+/[0-9]{1,3}`
		addr   = `[0-9a-fA-F:.]+`
		sel    = `any|(region|site|segment)/` + name + `|` + prefix + `|` + addr
		target = sel + `|` + addr + `:[0-9]+/(tcp|udp)|\[` + addr + `\]:[0-9]+/(tcp|udp)|\[?` + addr + `\]?/icmp`
	)
	return map[string]rule{
		"version":   {oneOf: []string{APIVersion}},
		"kind":      {oneOf: []string{DocumentKind}},
		"mode":      {oneOf: []string{string(Mesh), string(HubAndSpoke), string(Hybrid)}},
		"routing":   {oneOf: []string{string(Static), string(BGP)}},
		"daemon":    {oneOf: []string{string(FRR), string(BIRD)}},
		"path":      {oneOf: []string{string(PreferPath), string(AvoidPath)}},
		"interval":  {check: checkInterval, schema: pattern(`[1-9][0-9]{0,4}(ms|s)`)},
		"community": {check: checkCommunity, schema: pattern(`[0-9]{1,5}:[0-9]{1,5}|[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}`)},
		"router":    {check: checkRouter, schema: pattern(addr)},
		"inside":    {check: checkInside, schema: pattern(addr)},
		"expect":    {oneOf: []string{"reachable", "denied"}},
		"name":      {check: checkName, schema: pattern(name)},
		"prefix":    {check: checkPrefix, schema: pattern(prefix)},
		"host":      {check: checkHost, schema: pattern(`[0-9a-z:.-]{1,253}`)},
		"service":   {check: checkService, schema: pattern(`icmp|(tcp|udp)/[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?`)},
		"selector":  {check: checkSelector, schema: pattern(sel)},
		"target":    {check: checkTarget, schema: pattern(target)},
		"port":      {min: 1, max: 65535, code: "RW1307"},
		"mtu":       {min: MinUnderlayMTU, max: MaxMTU, code: "RW1308"},
		"inner-mtu": {min: MinInnerMTU, max: MaxMTU, code: "RW1308"},

		"multiplier": {min: 2, max: 255, code: "RW1502"},
		"tunnels":    {min: 1, max: MaxTunnels, code: "RW1503"},
		"cores":      {min: 1, max: MaxCores, code: "RW1521"},
		"asn":        {min: 1, max: math.MaxUint32 - 1, code: "RW1504"},
		"prepend":    {min: 1, max: MaxPrepend, code: "RW1510"},
	}
}

func pattern(expr string) map[string]any { return map[string]any{"pattern": "^(" + expr + ")$"} }

func checkName(s string) *fault {
	if ValidName(s) {
		return nil
	}
	return &fault{"RW1101", fmt.Sprintf("%s is not a name", diag.Quote(s)),
		"a name has 1 to 63 lower-case letters, digits and hyphens, and begins and ends with a letter or digit"}
}

func checkInterval(s string) *fault {
	if _, err := ParseInterval(s); err != nil {
		return &fault{"RW1501", fmt.Sprintf("%s is not an interval of BFD", diag.Quote(s)), err.Error()}
	}
	return nil
}

func checkRouter(s string) *fault {
	addr, err := netip.ParseAddr(s)
	if err != nil || !reachable(addr) || addr.Zone() != "" || addr.Unmap().String() != s {
		return &fault{"RW1505", fmt.Sprintf("%s is not the address of a router", diag.Quote(s)), "write an IPv4 or IPv6 address, as 10.10.0.2"}
	}
	return nil
}

func checkInside(s string) *fault {
	if checkRouter(s) != nil {
		return &fault{"RW1522", fmt.Sprintf("%s is not the address of a gateway", diag.Quote(s)), "write an IPv4 or IPv6 address, as 10.10.0.11"}
	}
	return nil
}

func checkCommunity(s string) *fault {
	c, err := ParseCommunity(s)
	if err != nil {
		return &fault{"RW1509", fmt.Sprintf("%s is not a community", diag.Quote(s)), err.Error()}
	}
	hint := "take one that begins with an AS number of yours, as 64512:100"
	switch s {
	case "65535:65281":
		hint = "write announce: {noExport: true} of a neighbor"
	case "65535:0":
		hint = "a gateway that is drained tells it: ropeway-gateway drain"
	}
	if is := c.Reserved(); is != "" {
		return &fault{"RW1509", fmt.Sprintf("%s marks nothing: it is %s", c, is), hint}
	}
	return nil
}

func checkPrefix(s string) *fault {
	p, err := ParsePrefix(s)
	if err != nil {
		hint := err.Error()
		if a, err := parseAddr(s); err == nil {
			hint = fmt.Sprintf("for the single address write %s/%d", a, a.BitLen())
		}
		return &fault{"RW1201", fmt.Sprintf("%s is not a prefix", diag.Quote(s)), hint}
	}
	return checkCanonical(s, p)
}

// checkCanonical refuses every spelling of a prefix but one, so that a search finds it and two files compare.
func checkCanonical(s string, p netip.Prefix) *fault {
	if canonical := p.Masked().String(); canonical != s {
		return &fault{"RW1202", fmt.Sprintf("prefix %s is not in canonical form", diag.Quote(s)), "write " + canonical}
	}
	return nil
}

func checkHost(s string) *fault {
	if !ValidHost(s) {
		return &fault{"RW1306", fmt.Sprintf("%s is neither an IP address nor a DNS name", diag.Quote(s)), hostHint(s)}
	}
	if addr, err := netip.ParseAddr(s); err == nil && !reachable(addr) {
		return &fault{"RW1306", fmt.Sprintf("nothing is reached at %s from elsewhere", addr),
			"give an address that the other gateways can send to"}
	}
	return nil
}

// reachable reports whether an address can be a gateway's on the underlay.
func reachable(a netip.Addr) bool {
	return !(a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}))
}

// hostHint says what is nearly right about a host.
func hostHint(s string) string {
	if addr, err := netip.ParseAddr(s); err == nil {
		return "write " + addr.Unmap().WithZone("").String()
	}
	if at, err := netip.ParseAddrPort(s); err == nil {
		return fmt.Sprintf("write endpoint: %s and port: %d", at.Addr(), at.Port())
	}
	if lower := strings.ToLower(strings.TrimSuffix(s, ".")); ValidHost(lower) {
		return "write " + lower
	}
	return "give an address or a lower-case name without a port; the port stands under port:"
}

func checkService(s string) *fault {
	_, err := ParseService(s)
	if err == nil {
		return nil
	}
	hint := err.Error()
	if s == string(TCP) || s == string(UDP) {
		hint = fmt.Sprintf("all of it is %s/1-65535", s)
	}
	return &fault{"RW1404", fmt.Sprintf("%s is not a service", diag.Quote(s)), hint}
}

func checkSelector(s string) *fault {
	sel, err := ParseSelector(s)
	if err != nil {
		hint := err.Error()
		if sel, service, err := ParseTarget(s); err == nil && service != nil {
			hint = fmt.Sprintf("write %s here, and ports: [%s]", sel.Prefix.Addr(), service)
		}
		return &fault{"RW1401", fmt.Sprintf("%s selects nothing", diag.Quote(s)), hint}
	}
	return checkSelected(s, sel)
}

func checkTarget(s string) *fault {
	sel, service, err := ParseTarget(s)
	switch {
	case err != nil:
		return &fault{"RW1401", fmt.Sprintf("%s names nothing that a test can reach", diag.Quote(s)), err.Error()}
	case service != nil:
		return nil
	}
	return checkSelected(s, sel)
}

// checkSelected holds a prefix that is written as a selector to canonical form.
func checkSelected(s string, sel Selector) *fault {
	if sel.Prefix.IsValid() && strings.Contains(s, "/") {
		return checkCanonical(s, sel.Prefix)
	}
	return nil
}
