package lab

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/compile"
	"ropeway/internal/intent"
	"ropeway/internal/lab/world"
	"ropeway/internal/plan"
	"ropeway/internal/verify"
)

// drawn is a lab that is only thought of.
func drawn(t *testing.T, text string) *Lab {
	t.Helper()
	in, list := intent.Read("fabric.yaml", []byte(text))
	if in == nil {
		t.Fatal(list)
	}
	p, _ := compile.Compile(in, nil)
	w, err := world.Draw(in, p)
	if err != nil {
		t.Fatal(err)
	}
	return &Lab{Name: "drawn", in: in, record: &record{Name: "drawn", Plan: p, World: w}}
}

func TestTheProverIsToldOfEveryFault(t *testing.T) {
	w := &world.World{Paths: []world.Path{{From: "hq", To: "use1"}, {From: "use1", To: "hq"}}}
	got := facts(w, []Fault{
		{Kind: GatewayKill, A: "use1-a"},
		{Kind: LinkCut, A: "use1", B: "euw1"},
		{Kind: UnderlayMTU, A: "use1", B: "euw1", MTU: 1300},
		{Kind: UnderlayMTU, A: "euw1", B: "use1", MTU: 1400}, // the last word
		{Kind: ICMPBlock},
		{Kind: RegionPartition, A: "hq"},
		{Kind: GatewayFreeze, A: "use1-b"}, {Kind: LinkOneWay, A: "use1-a", B: "euw1-a"},
		{Kind: ControllerKill, A: "all"}, {Kind: AgentKill, A: "use1-a"}, // no packet notices
	})
	want := verify.Facts{
		Down: []string{"use1-a", "use1-b"}, Cut: []verify.Link{{A: "use1", B: "euw1"}, {A: "hq", B: "use1"}, {A: "use1-a", B: "euw1-a"}},
		Underlay: []verify.Underlay{{A: "euw1", B: "use1", MTU: 1400}}, NoICMP: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestADroppedRouteIsGoneFromACopyOfThePlan(t *testing.T) {
	l := drawn(t, threeRegions)
	lost := netip.MustParsePrefix("10.20.0.0/16")
	has := func(p *plan.Fabric, gateway string) bool {
		for _, r := range p.Gateway(gateway).Routes {
			for _, q := range r.Prefixes {
				if q == lost {
					return true
				}
			}
		}
		return false
	}
	var carrier string
	for _, g := range l.record.Plan.Gateways {
		if has(l.record.Plan, g.Name) {
			carrier = g.Name
		}
	}
	under := planUnder(l.record.Plan, []Fault{{Kind: RouteDrop, A: carrier, Prefix: lost}})
	if has(under, carrier) || !has(l.record.Plan, carrier) {
		t.Errorf("%s: lost in the copy: %v; still in the plan: %v", carrier, !has(under, carrier), has(l.record.Plan, carrier))
	}
}

func TestPathsUnderFaults(t *testing.T) {
	l := drawn(t, threeRegions)
	narrow := 0
	for i, p := range pathsUnder(l.record.World.Paths, []Fault{{Kind: UnderlayMTU, A: "hq", B: "use1", MTU: 1300}}) {
		if p.MTU != l.record.World.Paths[i].MTU {
			narrow++
			if p.MTU != 1300 || p.From+p.To != "hquse1" && p.From+p.To != "use1hq" {
				t.Errorf("%s to %s carries %d", p.From, p.To, p.MTU)
			}
		}
	}
	if narrow != 2 {
		t.Errorf("%d paths are narrow, want both directions", narrow)
	}
}

func TestACutIsWhereTheGatewayMeetsTheUnderlay(t *testing.T) {
	l := drawn(t, threeRegions)
	cut := []Fault{{Kind: LinkCut, A: "hq-1", B: "use1-a"}}
	box, core := filterTable(l.record.World, "hq-1/nat", cut), filterTable(l.record.World, world.CoreSpace, cut)
	if !strings.Contains(box, "iifname in1 ip daddr 203.0.113.10 drop") {
		t.Errorf("the box of hq-1 does not cut:\n%s", box)
	}
	hq := world.InFamily(l.record.World.Edge("hq-1").Outer, netip.IPv4Unspecified())
	if !strings.Contains(core, "ip saddr "+hq.String()+" drop") {
		t.Errorf("the core does not cut at use1-a:\n%s", core)
	}
	if strings.Contains(core, "203.0.113.11") || strings.Contains(box, "203.0.113.11") {
		t.Error("use1-b is cut, too")
	}
	if strings.Contains(filterTable(l.record.World, world.CoreSpace, nil), "drop") {
		t.Error("without faults something is dropped")
	}
}

func TestOneDirectionIsCutAtBothEnds(t *testing.T) {
	l := drawn(t, threeRegions)
	core := filterTable(l.record.World, world.CoreSpace, []Fault{{Kind: LinkOneWay, A: "use1-a", B: "euw1-a"}})
	a, b := l.record.World.Edge("use1-a").Interface, l.record.World.Edge("euw1-a").Interface
	for rule, want := range map[string]bool{
		"iifname " + a + " ip daddr 198.51.100.20 drop": true,
		"oifname " + b + " ip saddr 203.0.113.10 drop":  true,
		"iifname " + b + " ip daddr 203.0.113.10 drop":  false,
		"oifname " + a + " ip saddr 198.51.100.20 drop": false,
	} {
		if strings.Contains(core, rule) != want {
			t.Errorf("%q is there: %v, want %v:\n%s", rule, !want, want, core)
		}
	}
	for name, k := range map[string]Link{"use1-a euw1-a": {"euw1-a", "use1-a"}, "use1-b euw1-a": {"euw1-a", "use1-b"}} {
		l.record.Faults = []Fault{{Kind: LinkOneWay, A: "use1-a", B: "euw1-a"}}
		works := false
		for _, w := range l.workingLinks() {
			works = works || w == k
		}
		if works == (name == "use1-a euw1-a") {
			t.Errorf("link %s works: %v", name, works)
		}
	}
}

func TestWhatACrashIsAbout(t *testing.T) {
	for _, c := range []struct {
		what Crash
		args string
		want string
	}{
		{DaemonKill, "/usr/lib/frr/bgpd -d -N x", "bgpd"}, {DaemonKill, "/usr/sbin/bird -c x", "bird"}, {DaemonKill, "ropeway-gateway run --state x", ""},
		{DeviceKill, "/usr/bin/ropeway-gateway devices rw1", "ropeway-gateway"}, {DeviceKill, "/usr/bin/ropeway-gateway run --state x", ""}, {DeviceKill, "bird", ""},
	} {
		if got := victim(c.what, strings.Fields(c.args)); got != c.want {
			t.Errorf("%s of %q: %q, want %q", c.what, c.args, got, c.want)
		}
	}
}

func TestGenerations(t *testing.T) {
	all := drawn(t, threeRegions).generations()
	if len(all[0]) != 6 || !cmp.Equal(all[1], []string{"hq-1"}) {
		t.Errorf("generations: %v", all)
	}
}
