package lab

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/fabric"
	"ropeway/internal/verify"
)

const policed = `apiVersion: ropeway/v1
kind: Fabric
metadata: {name: policed}
spec:
  topology: {mode: mesh}
  regions:
    - {name: a, prefixes: [10.1.0.0/16, "2001:db8:1::/48"], gateways: [{name: a-1, endpoint: 203.0.113.1}]}
    - {name: b, prefixes: [10.2.0.0/16, "2001:db8:2::/48"], gateways: [{name: b-1, endpoint: 203.0.113.2}]}
  access:
    - {from: region/a, to: region/b, ports: [tcp/8000-8100, icmp]}
  tests:
    - {from: 10.1.0.9, to: "10.2.0.9:443/tcp", expect: denied}
`

func TestUniverse(t *testing.T) {
	l := drawn(t, policed)
	var got []string
	for _, s := range universe(l.in, l.record.Plan) {
		got = append(got, s.String())
	}
	want := []string{"icmp", "tcp/7", "tcp/443", "tcp/8000", "tcp/8100", "udp/7"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFlowsSpeakOfAccessAndTests(t *testing.T) {
	l := drawn(t, policed)
	all := flows(l.in, l.record.World, universe(l.in, l.record.Plan))
	var got []string
	for _, f := range all {
		got = append(got, fmt.Sprintf("%s %s %s", f.From, f.To, f.Service))
	}
	for _, want := range []string{
		"10.1.0.1 10.2.0.1 tcp/8000", "10.1.0.1 10.2.0.1 tcp/8100", "10.1.0.1 10.2.0.1 icmp", // what is allowed
		"10.2.0.1 10.1.0.1 tcp/8000",       // and against it
		"2001:db8:1::1 2001:db8:2::1 icmp", // both families
		"10.1.0.9 10.2.0.9 tcp/443",        // the very addresses of a test
	} {
		if !slices.Contains(got, want) {
			t.Errorf("nothing is sent for %s", want)
		}
	}
	seen := map[Flow]bool{}
	for _, f := range all {
		if seen[f] || f.From.Is4() != f.To.Is4() {
			t.Errorf("%v is sent twice, or is of two families", f)
		}
		seen[f] = true
	}
}

func TestSizesAreThoseOfTheHealthyPathAndOfWhatIsLeft(t *testing.T) {
	l := drawn(t, policed)
	addr := l.record.World.Addresses
	small := []Flow{{From: addr("a/host1")[0], To: addr("b/host1")[0], Service: fabric.Service{Protocol: fabric.ICMP}}}
	narrow := verify.Facts{Underlay: []verify.Underlay{{A: "a", B: "b", MTU: 1400}}}
	var got []int
	for _, f := range sized(small, verify.New(l.record.Plan, verify.Facts{}), verify.New(l.record.Plan, narrow)) {
		got = append(got, f.Size)
	}
	if want := []int{1440, 1441, 1328, 1329}; !slices.Equal(got, want) { // 1400 - 60, down to 16
		t.Errorf("sizes %v, want %v", got, want)
	}
}
