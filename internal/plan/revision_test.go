package plan

import (
	"net/netip"
	"reflect"
	"testing"

	"ropeway/internal/fabric"
	"ropeway/internal/key"
)

// Revisions writes by hand what Revision has written for it. A field that is new has to be in the full plan, and so in both.
func TestRevisionsAreRevision(t *testing.T) {
	full := sample()
	full.Devices[0].PublicKey = key.PublicFromBytes([key.Size]byte{1})
	*full.Devices[0].Peers[0] = Peer{
		Gateway: "odd <&> \u2028 \"name\"", PublicKey: key.PublicFromBytes([key.Size]byte{255, 254}), Endpoint: fabric.Endpoint{Host: "2001:db8::1", Port: 1},
		AllowedIPs: full.Firewall.Own, Keepalive: 25, MTU: 1440, Underlay: 1500, Overhead: 60, Standby: true,
	}
	full.Firewall.Rules = []Rule{{1, In, full.Firewall.Own, full.Firewall.Fabric, []fabric.Service{{Protocol: fabric.TCP, First: 1, Last: 9}}}}
	full.Firewall.Answers = []Direction{Out, In, Transit}
	full.Sysctls = []Sysctl{{"net/ipv4/ip_forward", "1"}}
	full.BGP = speaker()
	full.BGP.Neighbors[0].Announce = full.BGP.Neighbors[1].Announce
	filled(t, "gateway", reflect.ValueOf(*full))

	bare := &Gateway{Name: "bare", Devices: []Device{{Peers: []*Peer{{}, {AllowedIPs: []netip.Prefix{}}}}, {}}, Routes: []*Route{{}, {}}}
	bare.Firewall.Rules = []Rule{{}, {From: full.Firewall.Own[:0], To: full.Firewall.Own}}
	plans := []*Gateway{full, bare, {Name: "empty"}, {Name: "again", Firewall: full.Firewall}}
	got := (&Fabric{Gateways: plans}).Revisions()
	for _, g := range plans {
		if want := Revision(g); got[g.Name] != want {
			t.Errorf("gateway %s: %s, want %s", g.Name, got[g.Name], want)
		}
	}
}

// filled reports what is zero in the plan's own types, and so proves nothing.
func filled(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	if v.IsZero() {
		t.Errorf("%s is not set", path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		filled(t, path, v.Elem())
	case reflect.Slice:
		filled(t, path, v.Index(0))
	case reflect.Struct:
		if v.Type().PkgPath() == reflect.TypeFor[Gateway]().PkgPath() {
			for i := range v.NumField() {
				filled(t, path+"."+v.Type().Field(i).Name, v.Field(i))
			}
		}
	}
}
