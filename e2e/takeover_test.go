package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tablesOfTheirOwn are two places that no router tells routes, one with the addresses of its gateways beside its prefixes.
const tablesOfTheirOwn = `apiVersion: ropeway/v1
kind: Fabric
metadata: {name: tables}
spec:
  topology: {mode: mesh}
  routing: {mode: bgp}
  regions:
    - name: use1
      prefixes: [10.10.0.0/16]
      takeOver: true
      gateways: [{name: use1-a, address: 10.10.0.11, endpoint: 203.0.113.10}, {name: use1-b, address: 10.10.0.12, endpoint: 203.0.113.11}]
    - name: euw1
      prefixes: [10.20.0.0/16, "2001:db8:20::/48"]
      takeOver: true
      gateways: [{name: euw1-a, address: 192.168.7.1, endpoint: 198.51.100.20}, {name: euw1-b, address: 192.168.7.2, endpoint: 198.51.100.21}]
  sites:
    - {name: hq, prefixes: [10.30.0.0/16, "2001:db8:30::/48"], gateways: [{name: hq-1, nat: true}], neighbors: [{name: hq-core, address: 10.30.0.1, asn: 65001}, {name: hq-core6, address: "2001:db8:30::1", asn: 65001}]}
  access: [{from: any, to: any}]
  tests:
    - {from: region/use1, to: region/euw1, expect: reachable, symmetric: true}
    - {from: site/hq, to: region/euw1, expect: reachable, symmetric: true}
`

// TestTablesAreTakenOver: where a gateway is lost that its place's table leads to, another takes the table over, and gives it back.
func TestTablesAreTakenOver(t *testing.T) {
	t.Parallel()
	file, name := filepath.Join(t.TempDir(), "tables.yaml"), labName("tables")
	if err := os.WriteFile(file, []byte(tablesOfTheirOwn), 0o600); err != nil {
		t.Fatal(err)
	}
	up(t, file, name)
	asProven(t, name)
	must(t, 0, "lab", "fault", "--name", name, "gateway-kill", "use1-a")
	must(t, 0, "lab", "fault", "--name", name, "gateway-kill", "euw1-b")
	asProven(t, name)
	for place, left := range map[string]string{"use1": "gw2", "euw1": "gw1"} {
		for _, family := range []string{"-4", "-6"} {
			for line := range strings.SplitSeq(must(t, 0, "lab", "exec", "--name", name, place+"/router", "--", "ip", family, "route").out, "\n") {
				if strings.Contains(line, "/") && strings.Contains(line, " via ") && strings.Contains(line, "dev gw") && !strings.Contains(line, left) {
					t.Errorf("the table of %s has %q, want all to lead by %s", place, line, left)
				}
			}
		}
	}
	must(t, 0, "lab", "fault", "--name", name, "undo", "all")
	asProven(t, name)
	if out := must(t, 0, "lab", "exec", "--name", name, "use1-a", "--", filepath.Join(programs, "ropeway-gateway"), "status").out; !strings.Contains(out, "use1-b is there") {
		t.Errorf("status of use1-a:\n%s", out)
	}
}

// asProven sends packets, and wants every route to be as the proof says without a long wait.
func asProven(t *testing.T, name string) {
	t.Helper()
	if r := tested(t, 0, name); len(r.Astray) > 0 {
		t.Errorf("routes that are not what the prover says: %q", r.Astray)
	}
}
