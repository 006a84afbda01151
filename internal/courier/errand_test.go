package courier

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
)

// However many routes there are, and however long, a part is one that a controller takes, and none is left out.
func TestParts(t *testing.T) {
	const mostOfGateway = 256 << 10 // what a controller takes of a gateway in one request
	for _, n := range []int{0, 1, 3000} {
		var routes []*ropewayv1.Route
		for i := range n {
			routes = append(routes, &ropewayv1.Route{Prefix: "10.0.0.0/8", Metric: uint32(i), Path: make([]uint32, i%500)})
		}
		next := 0
		list := parts(routes)
		for i, part := range list {
			if size := proto.Size(part); size > mostOfGateway {
				t.Errorf("a part of %d bytes", size)
			}
			if part.More != (i < len(list)-1) || len(part.Routes) == 0 && n > 0 {
				t.Errorf("%d of %d: %d routes, more: %v", i, len(list), len(part.Routes), part.More)
			}
			for _, r := range part.Routes {
				if int(r.Metric) != next {
					t.Fatalf("route %d comes in the place of %d", r.Metric, next)
				}
				next++
			}
		}
		if next != n || n > 1 && len(list) < 2 {
			t.Errorf("%d of %d routes in %d parts", next, n, len(list))
		}
	}
}

// Since when a session is as it is does not make another report of it; everything else does.
func TestSameRouting(t *testing.T) {
	routing := func(change func(*ropewayv1.Routing)) *ropewayv1.Routing {
		r := &ropewayv1.Routing{Running: true, Sessions: []*ropewayv1.Session{{Neighbor: "gw2", Up: true, Since: timestamppb.Now()}}}
		change(r)
		return r
	}
	was := routing(func(*ropewayv1.Routing) {})
	for what, tt := range map[string]struct {
		is   *ropewayv1.Routing
		same bool
	}{
		"the same value": {was, true},
		"looked at later": {routing(func(r *ropewayv1.Routing) {
			r.Sessions[0].Since = timestamppb.New(was.Sessions[0].Since.AsTime().Add(1e9))
		}), true},
		"the session is down":   {routing(func(r *ropewayv1.Routing) { r.Sessions[0].Up = false }), false},
		"the daemon is down":    {routing(func(r *ropewayv1.Routing) { r.Running = false }), false},
		"somebody drained it":   {routing(func(r *ropewayv1.Routing) { r.Drained = timestamppb.Now() }), false},
		"routing is static now": {nil, false},
	} {
		a, b := &ropewayv1.ReportRequest{Routing: was}, &ropewayv1.ReportRequest{Routing: tt.is}
		if same(a, b) != tt.same || same(b, a) != tt.same {
			t.Errorf("%s: same is %v", what, !tt.same)
		}
	}
}
