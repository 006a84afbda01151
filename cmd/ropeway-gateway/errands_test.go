package main

import (
	"net/netip"
	"testing"

	"google.golang.org/protobuf/proto"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/bgp"
	"ropeway/internal/fabric"
)

// TestARouteAsItTravels: by way of a controller a route is what the command on the machine says of it.
func TestARouteAsItTravels(t *testing.T) {
	mark := func(s string) fabric.Community {
		c, err := fabric.ParseCommunity(s)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, c := range []struct {
		route bgp.Route
		want  *ropewayv1.Route
	}{
		{
			bgp.Route{Prefix: netip.MustParsePrefix("10.2.0.0/16"), Neighbor: "us-a", NextHop: netip.MustParseAddr("100.64.0.1"), Device: "rwb1\x1b", Path: []uint32{64513}, LocalPreference: 100,
				Metric: 1, Tags: []uint32{7}, Communities: []fabric.Community{mark("65535:0"), mark("4200000001:1:2")}, Best: true},
			&ropewayv1.Route{Prefix: "10.2.0.0/16", Neighbor: "us-a", NextHop: "100.64.0.1", Device: `rwb1\x1b`, Path: []uint32{64513}, LocalPreference: 100,
				Metric: 1, Tags: []uint32{7}, Communities: []string{"65535:0", "4200000001:1:2"}, Best: true},
		},
		{bgp.Route{Prefix: netip.MustParsePrefix("2001:db8::/32")}, &ropewayv1.Route{Prefix: "2001:db8::/32"}},
	} {
		if got := routeOf(&c.route); !proto.Equal(got, c.want) {
			t.Errorf("got  %v\nwant %v", got, c.want)
		}
	}
}
