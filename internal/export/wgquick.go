// Package export writes a gateway's plan in the formats of other tools, for people who run no agent. It is pure: a plan in, text
// out.
//
// What a fabric file says never becomes part of a command. A wg-quick file may hold hooks, which wg-quick gives to a shell; the
// ones here are fixed text around values that cannot hold anything but digits, dots, colons and slashes (addresses, numbers), or
// letters, digits and hyphens (names, which are DNS labels), and Render checks that once more before it writes them.
package export

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"

	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// Home is where wg-quick looks for its files.
const Home = "/etc/wireguard"

// Pending returns the gateways whose public key is not known yet, in the order of the plan.
func Pending(f *plan.Fabric) []string {
	var missing []string
	for _, g := range f.Gateways {
		if slices.ContainsFunc(g.Devices, func(d plan.Device) bool { return d.PublicKey.IsZero() }) {
			missing = append(missing, g.Name)
		}
	}
	return missing
}

// safePath is what a directory in a hook may be made of: nothing that a shell reads as more than a letter, and no "%", which
// wg-quick replaces.
var safePath = regexp.MustCompile(`^/[A-Za-z0-9._/-]*$`)

// SafeHome reports whether a directory can stand in a hook: an absolute path of letters, digits, '.', '_', '-' and '/'.
func SafeHome(dir string) bool { return safePath.MatchString(dir) && path.Clean(dir) == dir }

// WGQuick returns the file that "wg-quick up" takes for one device of a gateway. On the gateway, in the directory home, stand
// beside it the firewall, DEVICE.nft, and the private key, keys/GATEWAY.key: the file refers to both and holds neither.
//
// wg-quick routes every allowed prefix to the device with the device's MTU; where a path carries less, a hook says so to its
// routes. The firewall is in place before the device is, and goes after it.
func WGQuick(g *plan.Gateway, d *plan.Device, home string) ([]byte, error) {
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("export gateway %s: %w", g.Name, err)
	}
	if !SafeHome(home) {
		return nil, fmt.Errorf("export gateway %s: the directory on the gateway must be an absolute path of letters, digits, '.', '_' and '-'", g.Name)
	}
	for _, p := range d.Peers {
		if !p.Endpoint.IsZero() && !fabric.ValidHost(p.Endpoint.Host) {
			return nil, fmt.Errorf("export gateway %s: the endpoint of %s is neither an address nor a DNS name", g.Name, p.Gateway)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Gateway %s, made by Ropeway. On the gateway: %s/%s.conf, with %[3]s.nft beside it\n", g.Name, home, d.Name)
	fmt.Fprintf(&b, "# and the private key in keys/%s.key.\n[Interface]\n", g.Name)
	for _, a := range d.Addresses {
		fmt.Fprintf(&b, "Address = %s\n", a)
	}
	fmt.Fprintf(&b, "ListenPort = %d\nMTU = %d\n", d.ListenPort, d.MTU)
	writeHooks(&b, g, d, home)
	for _, p := range d.Peers {
		fmt.Fprintf(&b, "\n# Gateway %s%s\n[Peer]\nPublicKey = %s\n", p.Gateway, standby(p), p.PublicKey)
		if len(p.AllowedIPs) > 0 {
			fmt.Fprintf(&b, "AllowedIPs = %s\n", join(p.AllowedIPs))
		}
		if !p.Endpoint.IsZero() {
			fmt.Fprintf(&b, "Endpoint = %s\n", p.Endpoint)
		}
		if p.Keepalive > 0 {
			fmt.Fprintf(&b, "PersistentKeepalive = %d\n", p.Keepalive)
		}
	}
	return []byte(b.String()), nil
}

func standby(p *plan.Peer) string {
	if p.Standby {
		return ", standby: a warm session that carries nothing"
	}
	return ""
}

func writeHooks(b *strings.Builder, g *plan.Gateway, d *plan.Device, home string) {
	fmt.Fprintf(b, "PreUp = nft -f %s/%%i.nft\n", home)
	for _, s := range g.Sysctls {
		when := "PreUp"
		if strings.Contains(s.Key, "/"+d.Name+"/") { // it is there once the device is
			when = "PostUp"
		}
		fmt.Fprintf(b, "%s = sysctl -q -w %s=%s\n", when, s.Key, quoteNumbers(s.Value))
	}
	fmt.Fprintf(b, "PostUp = wg set %%i private-key %s/keys/%s.key\n", home, g.Name)
	for _, r := range g.Routes {
		if r.Device != d.Name || r.MTU >= d.MTU {
			continue
		}
		for _, p := range r.Prefixes {
			fmt.Fprintf(b, "PostUp = ip %s route replace %s dev %%i mtu %s%d\n", family(p), p, lock(p), r.MTU)
		}
	}
	fmt.Fprintf(b, "PostDown = nft delete table inet ropeway\n")
}

// quoteNumbers keeps a value of several numbers, such as a range of ports, one word.
func quoteNumbers(v string) string {
	if strings.Contains(v, " ") {
		return "'" + v + "'"
	}
	return v
}

func family(p netip.Prefix) string {
	if p.Addr().Is4() {
		return "-4"
	}
	return "-6"
}

// lock makes an MTU bind forwarded IPv6 packets too: the kernel leaves the MTU of a route aside for them unless it is locked.
func lock(p netip.Prefix) string {
	if p.Addr().Is4() {
		return ""
	}
	return "lock "
}

func join(prefixes []netip.Prefix) string {
	texts := make([]string, len(prefixes))
	for i, p := range prefixes {
		texts[i] = p.String()
	}
	return strings.Join(texts, ", ")
}
