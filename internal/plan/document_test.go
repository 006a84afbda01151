package plan

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"ropeway/internal/fabric"
)

func sample() *Gateway {
	list := []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("100.64.0.2/32"), netip.MustParsePrefix("2001:db8:20::/48")}
	own := []netip.Prefix{netip.MustParsePrefix("10.10.0.0/16")}
	return &Gateway{
		Name: "use1-a", Place: "use1",
		Devices: []Device{{
			Name: "rw0", ListenPort: 51820, MTU: 1440, Addresses: []netip.Prefix{netip.MustParsePrefix("100.64.0.1/32")},
			Peers: []*Peer{{Gateway: "euw1-a", Endpoint: fabric.Endpoint{Host: "203.0.113.20", Port: 51820}, AllowedIPs: list, MTU: 1440, Underlay: 1500, Overhead: 60}},
		}},
		Routes:   []*Route{{Device: "rw0", Peer: "euw1-a", MTU: 1440, Prefixes: list}},
		Firewall: Firewall{Own: own, Fabric: list, Rules: []Rule{{ID: 1, Direction: Out, From: own, To: list, Services: []fabric.Service{{Protocol: fabric.TCP, First: 443, Last: 443}}}}},
		Sysctls:  []Sysctl{{Key: "net/ipv4/ip_forward", Value: "1"}},
	}
}

func TestDocumentSurvivesItsFile(t *testing.T) {
	g := sample()
	data, err := Encode("acme", g)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if doc.Fabric != "acme" || Revision(&doc.Gateway) != Revision(g) {
		t.Errorf("came back as %+v", doc)
	}
	if !Compare(&Fabric{Gateways: []*Gateway{g}}, &Fabric{Gateways: []*Gateway{&doc.Gateway}}).Empty() {
		t.Error("a plan differs from itself after a round trip")
	}
}

// TestDecodeRefuses damages a good document, one place at a time.
func TestDecodeRefuses(t *testing.T) {
	good, err := Encode("acme", sample())
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ old, new, says string }{
		"a changed prefix":       {"10.20.0.0/16", "10.21.0.0/16", "does not match its revision"},
		"host bits":              {"10.20.0.0/16", "10.20.0.1/16", "not canonical"},
		"another version":        {"ropeway/v1", "ropeway/v2", "apiVersion"},
		"an unknown field":       {`"fabric":`, `"postUp": "id", "fabric":`, "unknown field"},
		"a hostile gateway":      {`"name": "use1-a"`, `"name": "use1-a\n"`, "DNS labels"},
		"a hostile peer":         {`"gateway": "euw1-a"`, `"gateway": "$(id)"`, "DNS label"},
		"a foreign device":       {`"name": "rw0"`, `"name": "eth0"`, "begins with rw"},
		"a device path":          {`"name": "rw0"`, `"name": "rw/../x"`, "begins with rw"},
		"a hostile endpoint":     {"203.0.113.20:51820", "203.0.113.20;id:51820", "IP address or a DNS name"},
		"a sysctl elsewhere":     {"net/ipv4/ip_forward", "kernel/core_pattern", "below net/"},
		"a sysctl with dots":     {"net/ipv4/ip_forward", "net/ipv4/../../kernel/x", "below net/"},
		"a sysctl with a text":   {`"value": "1"`, `"value": "|/bin/sh"`, "and a number"},
		"an unknown direction":   {`"direction": "out"`, `"direction": "sideways"`, "direction"},
		"a mapped IPv4 address":  {"100.64.0.1/32", "::ffff:100.64.0.1/128", ""},
		"no MTU":                 {`"mtu": 1440`, `"mtu": 0`, "MTU"},
		"a blank where a number": {`"listenPort": 51820`, `"listenPort": null`, "listen port"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if !bytes.Contains(good, []byte(tt.old)) {
				t.Fatalf("the good document has no %s", tt.old)
			}
			_, err := Decode(bytes.Replace(good, []byte(tt.old), []byte(tt.new), 1))
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want something with %q", err, tt.says)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	good, err := Encode("acme", sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Encode(doc.Fabric, &doc.Gateway)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(again); err != nil {
			t.Errorf("Encode wrote what Decode refuses: %v", err)
		}
	})
}
