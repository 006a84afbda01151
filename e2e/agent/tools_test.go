package agent_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// tool runs a command of the system on the gateway and returns what it printed.
func (g *gateway) tool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := g.as(args...)
	var out []byte
	err := inside(g.ns, func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (g *gateway) ip(t *testing.T, args ...string) string {
	t.Helper()
	return g.tool(t, append([]string{"ip"}, args...)...)
}

func (g *gateway) nft(t *testing.T, args ...string) string {
	t.Helper()
	return g.tool(t, append([]string{"nft"}, args...)...)
}

var counted = regexp.MustCompile(`packets \d+ bytes \d+`)

// table returns the firewall without what it has counted, or "" where there is none.
func (g *gateway) table(t *testing.T) string {
	t.Helper()
	return counted.ReplaceAllString(g.tool(t, "sh", "-c", "nft list table inet ropeway 2>/dev/null || true"), "")
}

// wg changes a peer of rw0.
func (g *gateway) wg(t *testing.T, peer wgtypes.PeerConfig) {
	t.Helper()
	args := []string{"wg", "set", "rw0", "peer", peer.PublicKey.String()}
	if peer.Remove {
		args = append(args, "remove")
	}
	if peer.ReplaceAllowedIPs {
		args = append(args, "allowed-ips", "")
	}
	g.tool(t, args...)
}

// hasPeer reports whether rw0 has that gateway as a peer, with its prefixes.
func (g *gateway) hasPeer(t *testing.T, other *gateway) bool {
	t.Helper()
	for line := range strings.Lines(g.dump(t)) {
		fields := strings.Fields(line)
		if len(fields) > 3 && fields[0] == other.key.String() {
			return strings.Contains(fields[3], "/24")
		}
	}
	return false
}

func (g *gateway) peers(t *testing.T) int {
	t.Helper()
	return strings.Count(g.dump(t), "\n") - 1
}

// dump is empty where there is no device.
func (g *gateway) dump(t *testing.T) string {
	t.Helper()
	if !strings.Contains(g.tool(t, "wg", "show", "interfaces"), "rw0") {
		return ""
	}
	return g.tool(t, "sh", "-c", "wg show rw0 dump || true")
}

func (g *gateway) hasRoute(t *testing.T, prefix string) bool {
	t.Helper()
	return g.ip(t, "route", "show", prefix) != ""
}

// sysctl sets a setting unless the value is empty, and returns what it then is.
func (g *gateway) sysctl(t *testing.T, key, value string) string {
	t.Helper()
	if value != "" {
		g.tool(t, "sh", "-c", `echo "$1" >"$2"`, "sh", value, "/proc/sys/"+key)
	}
	return strings.TrimSpace(g.tool(t, "cat", "/proc/sys/"+key))
}

// files lists every file of the gateway's directory with its size.
func (g *gateway) files(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(g.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil {
			b.WriteString(path + " " + d.Type().String() + "\n")
		}
		return err
	}))
	return b.String()
}
