package main

import (
	"os"
	"strings"
	"testing"

	"ropeway/internal/bgp"
	"ropeway/internal/compile"
	"ropeway/internal/console"
	"ropeway/internal/intent"
	"ropeway/internal/key"
	"ropeway/internal/state"
	"ropeway/internal/verify"
)

// running returns the example with gateways that have what its plan promises under the facts: where nothing is seen everything that is promised is missing.
func running(t *testing.T, facts verify.Facts) *liveFabric {
	t.Helper()
	const file = "../../examples/hybrid-bgp.yaml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	in, problems := intent.Read(file, text)
	if in == nil {
		t.Fatal(problems)
	}
	lock := &state.Lock{Fabric: in.Name, Places: map[string]int{}, Gateways: map[string]state.Gateway{}}
	for i, g := range in.Gateways() {
		lock.Gateways[g.Name] = state.Gateway{Index: i + 1, PublicKey: key.PublicFromBytes([key.Size]byte{byte(i + 1)})}
	}
	p, _ := compile.Compile(in, lock)
	f := &liveFabric{intent: in, plan: p, routes: map[string][]bgp.Route{}}
	for _, g := range p.Gateways {
		f.routes[g.Name] = []bgp.Route{}
		for _, d := range verify.Differences(p, facts, map[string][]verify.Learnt{g.Name: {}}) {
			for _, device := range d.Promised {
				peer := g.Device(device).Peers[0].Gateway
				f.routes[g.Name] = append(f.routes[g.Name], bgp.Route{Prefix: d.Prefix, Neighbor: peer, Device: device, Best: true, LocalPreference: 100})
			}
		}
	}
	return f
}

// What runs is judged by what is seen of it: of each gateway its routes, whether it tells, and whether it is drained.
func TestVerifyLive(t *testing.T) {
	drained := verify.Facts{Drained: []string{"use1-a"}}
	for name, tt := range map[string]struct {
		have   verify.Facts // under which the gateways have what is promised
		change func(*liveFabric)
		know   verify.Facts
		ok     bool
		want   string // in the text
	}{
		"as promised": {ok: true, want: "every gateway has the routes"},
		"a route is missing": {change: func(f *liveFabric) {
			f.routes["branch-1"] = f.routes["branch-1"][1:]
		}, want: "branch-1 has no route to "},
		"a gateway has nothing": {change: func(f *liveFabric) { f.routes["branch-1"] = nil }, want: "branch-1 has no route to 10.10.0.0/16, which the plan leads by rw"},
		"one does not tell":     {change: func(f *liveFabric) { delete(f.routes, "use1-a") }, want: "unseen use1-a"},
		"what was told": {change: func(f *liveFabric) {
			f.routes["hq-1"] = append(f.routes["hq-1"], bgp.Route{Prefix: f.intent.Places[2].Prefixes[0], Neighbor: "hq-core", Device: "eth0", Best: true})
		}, ok: true, want: "every gateway"},
		"drained, and said": {have: drained, change: func(f *liveFabric) { f.drained = drained.Drained }, ok: true, want: "drained use1-a"},
		"drained, not said": {have: drained, want: "branch-1 leads 10.10.0.0/16 by "},
		"dead, and known": {have: verify.Facts{Down: []string{"hq-2"}}, know: verify.Facts{Down: []string{"hq-2"}},
			change: func(f *liveFabric) { delete(f.routes, "hq-2") }, ok: true, want: "every gateway"},
	} {
		f := running(t, tt.have)
		if tt.change != nil {
			tt.change(f)
		}
		r := f.judge(tt.know)
		text := differencesText(console.Style{}, f.plan, r)
		if r.AsPromised != tt.ok || !strings.Contains(text, tt.want) {
			t.Errorf("%s: as promised: %t, want %t; want %q in\n%s", name, r.AsPromised, tt.ok, tt.want, text)
		}
	}
	f := running(t, verify.Facts{})
	f.routes["branch-1"] = nil
	if r := f.judge(verify.Facts{}); r.OK || !strings.Contains(proofText(console.Style{}, r.Report), "no-route") {
		t.Errorf("packets of a gateway without routes arrive:\n%s", proofText(console.Style{}, r.Report))
	}
}
