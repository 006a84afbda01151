package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/bgp"
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
