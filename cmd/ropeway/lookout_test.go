package main

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/bgp"
	"ropeway/internal/fabric"
)

// What comes by way of a controller is what a gateway says itself, and cannot write to a terminal as it likes.
func TestWhatControllersPassOn(t *testing.T) {
	addr := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	prefix := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	community := func(s string) fabric.Community {
		c, err := fabric.ParseCommunity(s)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	routes := appendRoutes(nil, []*ropewayv1.Route{
		{Prefix: "10.2.0.0/16", Neighbor: "us-a", NextHop: "100.64.0.1", Device: "rw1", Path: []uint32{64513}, LocalPreference: 100, Metric: 1, Tags: []uint32{7}, Best: true,
			Communities: []string{"65001:100", "\x1b[2J", "", "65001:0100", "4200000001:1:2"}},
		{Prefix: "everything"}, {Prefix: "2001:db8::/32"},
	})
	if text := pathTable([]pathLine{{Route: routes[0]}}, true).Rows[0]; !slices.Contains(text, "65001:100 4200000001:1:2") {
		t.Errorf("the table says %q", text)
	}
	if diff := cmp.Diff([]bgp.Route{
		{Prefix: netip.MustParsePrefix("10.2.0.0/16"), Neighbor: "us-a", NextHop: netip.MustParseAddr("100.64.0.1"), Device: "rw1", Path: []uint32{64513}, LocalPreference: 100,
			Metric: 1, Tags: []uint32{7}, Best: true, Communities: []fabric.Community{community("65001:100"), community("4200000001:1:2")}},
		{Prefix: netip.MustParsePrefix("2001:db8::/32")},
	}, routes, addr, prefix, cmp.Comparer(func(a, b fabric.Community) bool { return a == b })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if none := appendRoutes(nil, nil); none == nil {
		t.Error("a gateway that has no routes is one that does not tell")
	}
	got := sessionLineOf("eu-a", &ropewayv1.Session{Neighbor: "us-a\x1b[2J", Address: "nowhere", Asn: 64513, State: "Established", Up: true, Since: timestamppb.New(time.Now().Add(-90 * time.Second)),
		Received: 7, Sent: 1, Flaps: 2, Bfd: "up"})
	if got.Name == "us-a\x1b[2J" || got.Since != 90 && got.Since != 91 {
		t.Errorf("%+v", got)
	}
	got.Name, got.Since = "", 0
	if diff := cmp.Diff(sessionLine{Gateway: "eu-a", ASN: 64513, State: "Established", Up: true, Received: 7, Sent: 1, Flaps: 2, BFD: "up"}, got, addr); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if ahead := sessionLineOf("eu-a", &ropewayv1.Session{Since: timestamppb.New(time.Now().Add(time.Hour))}); ahead.Since != 0 {
		t.Errorf("a clock that is ahead: %v", ahead.Since)
	}
}
