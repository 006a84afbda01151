package export_test

import (
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/export"
	"ropeway/internal/fabric"
	"ropeway/internal/key"
	"ropeway/internal/plan"
)

var update = flag.Bool("update", false, "write the golden files")

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

func public(b byte) key.Public { return key.PublicFromBytes([key.Size]byte{b, 1, 2, 3}) }

// gateway is a hub with a peer that dials in, one whose path carries less, and one on standby.
func gateway() *plan.Gateway {
	g := &plan.Gateway{
		Name: "use1-a", Place: "use1",
		Devices: []plan.Device{{
			Name: "rw0", ListenPort: 51820, Addresses: prefixes("100.64.0.1/32", "fd00::1/128"), MTU: 1440, PublicKey: public(1),
			Peers: []*plan.Peer{
				{Gateway: "euw1-a", PublicKey: public(2), Endpoint: fabric.Endpoint{Host: "2001:db8::7", Port: 51821}, MTU: 1376,
					AllowedIPs: prefixes("10.20.0.0/16", "100.64.0.2/32", "fd20::/48")},
				{Gateway: "euw1-b", PublicKey: public(3), Endpoint: fabric.Endpoint{Host: "gw.example.net", Port: 51820}, MTU: 1440,
					AllowedIPs: prefixes("100.64.0.3/32"), Keepalive: 25, Standby: true},
				{Gateway: "hq-1", PublicKey: public(4), MTU: 1440, AllowedIPs: prefixes("100.64.0.4/32", "192.168.0.0/16")},
			},
		}},
		Routes: []*plan.Route{
			{Device: "rw0", Peer: "euw1-a", MTU: 1376, Prefixes: prefixes("10.20.0.0/16", "100.64.0.2/32", "fd20::/48")},
			{Device: "rw0", Peer: "hq-1", MTU: 1440, Prefixes: prefixes("100.64.0.4/32", "192.168.0.0/16")},
		},
		Firewall: plan.Firewall{Own: prefixes("10.10.0.0/16"), Fabric: prefixes("10.10.0.0/16", "10.20.0.0/16")},
		Sysctls: []plan.Sysctl{
			{Key: "net/ipv4/conf/rw0/rp_filter", Value: "2"},
			{Key: "net/ipv4/ip_forward", Value: "1"},
			{Key: "net/ipv4/ip_local_port_range", Value: "1024 65000"},
		},
	}
	return g
}

func TestWGQuick(t *testing.T) {
	g := gateway()
	got, err := export.WGQuick(g, &g.Devices[0], export.Home)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "use1-a.conf")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The real wg-quick takes its own words out of the file and leaves what the real wg takes.
func TestWGQuickStripAcceptsTheFile(t *testing.T) {
	if _, err := exec.LookPath("wg-quick"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs wg-quick, and root to run it")
	}
	file := filepath.Join(t.TempDir(), "rw0.conf")
	g := gateway()
	conf, err := export.WGQuick(g, &g.Devices[0], export.Home)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, conf, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "wg-quick", "strip", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, gone := range []string{"Address", "PostUp", "PreUp", "PostDown", "MTU", "PrivateKey"} {
		if strings.Contains(string(out), gone) {
			t.Errorf("%s is left for wg, which does not know it:\n%s", gone, out)
		}
	}
	for _, kept := range []string{"ListenPort = 51820", "PublicKey = " + public(2).String(), "Endpoint = [2001:db8::7]:51821"} {
		if !strings.Contains(string(out), kept) {
			t.Errorf("%s is missing:\n%s", kept, out)
		}
	}
}

func TestWGQuickRefusesWhatAShellWouldRead(t *testing.T) {
	for name, spoil := range map[string]func(*plan.Gateway){
		"gateway":      func(g *plan.Gateway) { g.Name = "a; reboot" },
		"newline":      func(g *plan.Gateway) { g.Name = "a\nPostUp = reboot" },
		"device":       func(g *plan.Gateway) { g.Devices[0].Name = "rw0$(reboot)" },
		"peer":         func(g *plan.Gateway) { g.Devices[0].Peers[0].Gateway = "x\n[Interface]" },
		"endpoint":     func(g *plan.Gateway) { g.Devices[0].Peers[0].Endpoint.Host = "x\nPostUp = reboot" },
		"sysctl key":   func(g *plan.Gateway) { g.Sysctls[0].Key = "net/ipv4/x;reboot" },
		"sysctl value": func(g *plan.Gateway) { g.Sysctls[0].Value = "1;reboot" },
	} {
		g := gateway()
		spoil(g)
		if out, err := export.WGQuick(g, &g.Devices[0], export.Home); err == nil {
			t.Errorf("%s: exported:\n%s", name, out)
		}
	}
	for _, home := range []string{"", "etc", "/a b", "/a;b", "/a$b", "/a`b", "/%i", "/a\nb", "/a/../b", "/a'b", "/a#b", "/é"} {
		g := gateway()
		if _, err := export.WGQuick(g, &g.Devices[0], home); err == nil {
			t.Errorf("home %q was taken", home)
		}
	}
}

func TestPending(t *testing.T) {
	g := gateway()
	f := &plan.Fabric{Gateways: []*plan.Gateway{g}}
	if got := export.Pending(f); got != nil {
		t.Errorf("pending: %v", got)
	}
	g.Devices[0].PublicKey = key.Public{}
	if got := export.Pending(f); !cmp.Equal(got, []string{"use1-a"}) {
		t.Errorf("pending: %v", got)
	}
}
