package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"ropeway/internal/agent"
)

// Of however many sessions controllers hear in one request that they take: those that are not up first, with why.
func TestReportedRouting(t *testing.T) {
	const mostOfGateway = 256 << 10
	at := time.Unix(1_000_000, 0)
	of := &agent.Speaking{At: at, BGPStatus: agent.BGPStatus{Daemon: "frr", Running: true, Prefixes: 7}}
	for i := range 3000 {
		n := agent.NeighborStatus{Name: strings.Repeat("n", 58) + fmt.Sprintf("%05d", i), Device: "rw123456789abcd", Address: netip.MustParseAddr("2001:db8:1234:5678:9abc:def0:1234:5678"),
			ASN: 1 << 31, State: "Established", Up: true, Since: 2.5, Received: 1 << 30, Sent: 1 << 30, Flaps: 1 << 30, BFD: "admin-down"}
		if i%2 == 1 {
			n.Up, n.State, n.LastError = false, "OpenConfirm", strings.Repeat("x", 5000)+"\n"
		}
		of.Neighbors = append(of.Neighbors, n)
	}
	var report routingReport
	r := report.update(of, nil)
	if len(r.Sessions) != mostSessions || r.Total != 3000 || r.Up != 1500 || r.Sessions[0].Up || r.Drained != nil || r.Prefixes != 7 {
		t.Errorf("%d sessions, %d in all, %d up", len(r.Sessions), r.Total, r.Up)
	}
	if size := proto.Size(r); size > mostOfGateway-(32<<10) {
		t.Errorf("%d bytes leave no room for anything else", size)
	}
	if s := r.Sessions[0]; len(s.LastError) != longestError || !s.Since.AsTime().Equal(at.Add(-3*time.Second)) {
		t.Errorf("%v", s)
	}
	if report.update(of, nil) != r {
		t.Error("the same is made anew")
	}
	if again := report.update(of, &at); again == r || !again.Drained.AsTime().Equal(at) {
		t.Error("that somebody drained it is not told")
	}
	if report.update(nil, &at) != nil {
		t.Error("static routing has sessions")
	}
}
