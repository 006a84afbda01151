package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/bgp"
	"ropeway/internal/diagnose"
)

func TestWhoAnnouncesAndWhy(t *testing.T) {
	p := netip.MustParsePrefix
	lines := explained("eu-a", []bgp.Route{
		{Prefix: p("10.1.0.0/16"), LocalPreference: 100, Best: true},
		{Prefix: p("10.2.0.0/16"), Neighbor: "us-a", Device: "rwb1", Path: []uint32{64513}, LocalPreference: 100, Best: true},
		{Prefix: p("10.2.0.0/16"), Neighbor: "us-b", Device: "rwb2", Path: []uint32{64513}, LocalPreference: 100, Metric: 1},
	})
	lines = append(lines, explained("us-a", []bgp.Route{
		{Prefix: p("10.2.0.0/16"), Neighbor: "colo-router", Device: "eth0", Path: []uint32{65000}, LocalPreference: 100, Best: true}})...)
	var why []string
	for _, l := range lines {
		why = append(why, l.Gateway+" "+l.Prefix.String()+": "+l.Why)
	}
	if diff := cmp.Diff([]string{
		"eu-a 10.1.0.0/16: originated here", "eu-a 10.2.0.0/16: of the next, metric 1 is higher than 0", "eu-a 10.2.0.0/16: metric 1 is higher than 0",
		"us-a 10.2.0.0/16: the only way",
	}, why); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"10.1.0.0/16 is announced by eu-a", "10.2.0.0/16 is announced by us-a, which learns it of colo-router"}, announcers(lines)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var out strings.Builder
	if err := pathTable(lines, true).Write(&out, styleOf(newRootCommand(), &out), false); err != nil || strings.Count(out.String(), "*") != 3 || !strings.Contains(out.String(), "(here)") {
		t.Errorf("%v:\n%s", err, out.String())
	}
}

// What a gateway reports of its routing shows in drift and in the facts of status: not what comes up in a moment, and of a daemon that does not run nothing else.
func TestRoutingThatIsNotAsPlanned(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	ago := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(-d)) }
	routing := &ropewayv1.Routing{Daemon: "frr", Running: true, Prefixes: 7, Total: 40, Up: 2, Drained: ago(time.Hour), Sessions: []*ropewayv1.Session{
		{Neighbor: "eu-a", Device: "rw1", State: "Active", Since: ago(time.Minute), LastError: "Hold Timer Expired"},
		{Neighbor: "eu-b", Device: "rw2", State: "Connect", Since: ago(time.Second)},
		{Neighbor: "vpc", State: "Idle", Since: ago(time.Minute)},
		{Neighbor: "eu-c", Device: "rw3", State: "Established", Up: true, Since: ago(time.Minute)},
	}}
	g := &ropewayv1.Gateway{Name: "us-a", Connected: true, Enrolled: true, Reported: &ropewayv1.ReportedState{Healthy: true, At: ago(0), Routing: routing}}
	drift := func() (out []string) {
		for _, l := range routingDrift(g, now) {
			out = append(out, l.Part+" "+l.State+": "+l.What)
		}
		return out
	}
	if diff := cmp.Diff([]string{
		"bgp stands: the session with eu-a over rw1 is not up: Active (Hold Timer Expired)", "bgp stands: the session with vpc on the LAN is not up: Idle",
		"bgp stands: 34 more sessions are not up", "bgp drained: an operator leads traffic around it",
	}, drift()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]diagnose.Session{{Gateway: "us-a", Neighbor: "eu-a", State: "Active (Hold Timer Expired)"}, {Gateway: "us-a", Neighbor: "vpc", External: true, State: "Idle"}},
		downSessions(g, now)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if f := gatewayFacts(g, now); !f.Drained || f.Up != 2 || f.Learnt != 7 || f.Silent != "" || f.State != diagnose.Well {
		t.Errorf("%+v", f)
	}
	routing.Running = false
	if got := drift(); len(got) != 1 || got[0] != "bgp stands: frr does not run" || gatewayFacts(g, now).Silent != "frr" {
		t.Errorf("%q", got)
	}
	g.Reported.Routing = nil
	if got := drift(); len(got) != 0 {
		t.Errorf("static routing: %q", got)
	}
	report := driftOf([]*ropewayv1.Gateway{g}, now, now)
	report.Drift = append(report.Drift, driftLine{State: "undone"}, driftLine{State: "drained"}, driftLine{State: "stands"})
	if report.sort(); report.Drift[0].State != "stands" || report.Drift[len(report.Drift)-1].State != "undone" {
		t.Errorf("in another order: %+v", report.Drift)
	}
}
