package lab

import (
	"context"
	"net/netip"
	"os"
	"testing"

	"ropeway/internal/fabric"
	"ropeway/internal/lab/world"
)

const narrowPaths = `apiVersion: ropeway/v1
kind: Fabric
metadata: {name: narrow}
spec:
  topology: {mode: mesh}
  regions:
    - {name: a, prefixes: [10.1.0.0/16], gateways: [{name: a-1, endpoint: 203.0.113.1}]}
    - {name: b, prefixes: [10.2.0.0/16], gateways: [{name: b-1, endpoint: "2001:db8:f::2"}]}
    - {name: c, underlay: {mtu: 9001}, prefixes: [10.3.0.0/16], gateways: [{name: c-1, endpoint: c.example.net, nat: true}]}
  links:
    - {between: [a, b], underlay: {mtu: 1400}}
    - {between: [b, c], underlay: {mtu: 9001}}
  access: [{from: any, to: any}]
`

// builtUnderlay is a world without agents, and a prober at its gateways. The addresses are those the world knows gateways by; a gateway
// behind NAT sends with another.
func builtUnderlay(t *testing.T, l *Lab) (*site, *prober) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	l.Name = labName(t)
	release, err := claim(l.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := release(); err != nil {
			t.Error(err)
		}
		if err := l.demolish(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		leavesNothing(t, l.Name)
	})
	st, err := build(t.Context(), l.Name, l.record.World)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	for _, step := range []error{st.refuseFragments(t.Context()), st.setUnderlay(t.Context(), nil), st.translate(t.Context())} {
		if step != nil {
			t.Fatal(step)
		}
	}
	at := map[netip.Addr]string{}
	for _, e := range l.record.World.Edges {
		for _, a := range e.Outer {
			at[a] = e.Gateway
		}
	}
	p, err := newProber(st, l.record.World.Of(world.Gateway), func(a netip.Addr) string { return at[a] })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return st, p
}

// carry sends echoes of some sizes between two gateways' outer addresses of both families and fails where one does other than expected.
func carry(t *testing.T, l *Lab, p *prober, a, b string, most int) {
	t.Helper()
	var probes []*probe
	for i, from := range l.record.World.Edge(a).Outer {
		for size, expect := range map[int]Outcome{0: Reachable, most: Reachable, most + 1: Denied} {
			f := Flow{From: from, To: l.record.World.Edge(b).Outer[i], Service: fabric.Service{Protocol: fabric.ICMP}, Size: size}
			probes = append(probes, &probe{Flow: f, expect: expect})
		}
	}
	if err := p.run(t.Context(), probes); err != nil {
		t.Fatal(err)
	}
	for _, pr := range probes {
		if got := pr.outcome(); got != pr.expect {
			t.Errorf("%s to %s, %d bytes from %s: %s, want %s", a, b, pr.Size, pr.From, got, pr.expect)
		}
	}
}

func TestTheUnderlayCarriesWhatTheFileSays(t *testing.T) {
	l := drawn(t, narrowPaths)
	st, p := builtUnderlay(t, l)
	carry(t, l, p, "a-1", "b-1", 1400)
	carry(t, l, p, "b-1", "a-1", 1400)

	faults := []Fault{{Kind: UnderlayMTU, A: "b", B: "a", MTU: 1300}}
	if err := st.setUnderlay(t.Context(), faults); err != nil {
		t.Fatal(err)
	}
	carry(t, l, p, "a-1", "b-1", 1300)
	if err := st.setUnderlay(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := st.forgetPaths(); err != nil { // kernels answer with what they believe a path carries
		t.Fatal(err)
	}
	carry(t, l, p, "b-1", "a-1", 1400)
}

// TestAProberTellsALostRequestFromALostAnswer cuts a path in one direction: the request arrives, or it does not.
func TestAProberTellsALostRequestFromALostAnswer(t *testing.T) {
	l := drawn(t, narrowPaths)
	st, p := builtUnderlay(t, l)
	a, b := l.record.World.Edge("a-1"), l.record.World.Edge("b-1")
	if err := st.nft(t.Context(), world.CoreSpace, "table inet oneway { chain f { type filter hook forward priority 0; iifname "+b.Core+" drop; }; }"); err != nil {
		t.Fatal(err)
	}
	there := &probe{Flow: Flow{From: a.Outer[0], To: b.Outer[0], Service: fabric.Service{Protocol: fabric.ICMP}}, expect: OneWay}
	back := &probe{Flow: Flow{From: b.Outer[0], To: a.Outer[0], Service: fabric.Service{Protocol: fabric.ICMP}}, expect: Denied}
	if err := p.run(t.Context(), []*probe{there, back}); err != nil {
		t.Fatal(err)
	}
	if there.outcome() != OneWay || back.outcome() != Denied {
		t.Errorf("there %s, back %s; want %s, %s", there.outcome(), back.outcome(), OneWay, Denied)
	}
}
