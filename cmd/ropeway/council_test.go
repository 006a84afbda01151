package main

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ropewayv1 "ropeway/api/ropeway/v1"
)

// Of several controllers the one is believed that a gateway is connected to, else the one that it told last.
func TestWhatControllersSayTogether(t *testing.T) {
	says := func(connected bool, minute int, epoch uint64) *ropewayv1.Gateway {
		g := &ropewayv1.Gateway{Name: "gw1", Connected: connected}
		if minute > 0 {
			g.Reported = &ropewayv1.ReportedState{AppliedEpoch: epoch, At: timestamppb.New(time.Unix(int64(60*minute), 0))}
		}
		return g
	}
	for what, c := range map[string]struct {
		a, b *ropewayv1.Gateway
		want uint64
	}{
		"connected to the first":        {says(true, 1, 1), says(false, 9, 2), 1},
		"connected to the second":       {says(false, 9, 1), says(true, 1, 2), 2},
		"connected to both for a while": {says(true, 1, 1), says(true, 2, 2), 2},
		"away, told the first last":     {says(false, 3, 1), says(false, 2, 2), 1},
		"away, never told the first":    {says(false, 0, 0), says(false, 2, 2), 2},
		"away, never told the second":   {says(false, 2, 1), says(false, 0, 0), 1},
	} {
		lists := [2]*ropewayv1.ListGatewaysResponse{{Revision: 4, Gateways: []*ropewayv1.Gateway{c.a}}, {Revision: 5, Gateways: []*ropewayv1.Gateway{c.b, {Name: "gw2"}}}}
		both := council{seats: []*seat{{last: lists[0]}, {}, {last: lists[1]}}}
		got := both.gateways()
		if got.Revision != 5 || len(got.Gateways) != 2 || got.Gateways[0].Reported.AppliedEpoch != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}
