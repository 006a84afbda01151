package agent

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"ropeway/internal/firewall"
	"ropeway/internal/wireguard"
)

func TestExposition(t *testing.T) {
	at, age := time.Unix(1_000_000, 0), 3.0
	st := Status{
		Fabric: "evil\"} 1\nropeway_healthy 1\u202e", Gateway: "gw1", Healthy: false,
		Plan:      PlanStatus{Wanted: "r2", Applied: "r1", Refused: &Refusal{Code: "RW4003"}, Refusals: 4},
		Backend:   BackendStatus{wireguard.Userspace, "why"},
		LastApply: &Applied{At: at, Duration: 0.25, Changes: 3},
		Repairs:   map[string]int{"routes": 2},
		Firewall:  FirewallStatus{InPlace: true, Dropped: dropped(firewall.Counters{Dropped: map[string]firewall.Counter{"guard": {Packets: 9}}}), Answers: 5},
		Devices: []DeviceStatus{{Name: "rw0", Up: true, Peers: []PeerStatus{
			{Gateway: "gw2", State: Up, Handshake: &at, Age: &age, Received: 1 << 40, Sent: 7}, {Gateway: "gw3", State: Pending}}}},
	}
	text := exposition(st)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, line := range []string{"ropeway_healthy 0", "ropeway_plan_applied 0", "ropeway_plan_refused 1", "ropeway_plan_refusals_total 4",
		`ropeway_drift_repairs_total{step="routes"} 2`, `ropeway_firewall_dropped_packets_total{why="guard"} 9`, "ropeway_firewall_answers_packets_total 5",
		`ropeway_peer_received_bytes_total{device="rw0",peer="gw2"} 1099511627776`, `ropeway_peer_up{device="rw0",peer="gw3"} 0`} {
		if !bytes.Contains(text, []byte("\n"+line+"\n")) {
			t.Errorf("the exposition lacks %s:\n%s", line, text)
		}
	}
	if n := len(families["ropeway_healthy"].GetMetric()); n != 1 {
		t.Errorf("%d samples of ropeway_healthy: a label escaped", n)
	}
	if n := len(families["ropeway_peer_last_handshake_seconds"].GetMetric()); n != 1 {
		t.Errorf("%d handshakes, want one: a peer that never had one has none", n)
	}
}

func TestExpositionOfTenThousandPeers(t *testing.T) {
	st := Status{Devices: []DeviceStatus{{Name: "rw0"}}}
	for i := range 10_000 {
		st.Devices[0].Peers = append(st.Devices[0].Peers, PeerStatus{Gateway: fmt.Sprintf("gw%d", i), State: Up, Received: uint64(i)})
	}
	if n := bytes.Count(exposition(st), []byte("ropeway_peer_received_bytes_total{")); n != 10_000 {
		t.Errorf("%d samples", n)
	}
}
