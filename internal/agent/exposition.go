package agent

import (
	"maps"
	"slices"
	"time"

	"ropeway/internal/metrics"
)

// exposition writes a status as metrics. Their names are a contract with whoever watches; docs/agent.md lists them.
func exposition(st Status) []byte {
	var t metrics.Text
	gauge := func(name, help string, value float64) {
		t.Family(name, metrics.Gauge, help)
		t.Sample(value)
	}
	byStep := func(name, help string, counts map[string]int) {
		t.Family(name, metrics.Counter, help)
		for _, step := range StepNames() {
			t.Sample(float64(counts[step]), metrics.Label{Name: "step", Value: step})
		}
	}
	build := st.Agent.Version
	t.Family("ropeway_build_info", metrics.Gauge, "The build of the agent.")
	t.Sample(1, metrics.Label{Name: "version", Value: build.Version}, metrics.Label{Name: "commit", Value: build.Commit},
		metrics.Label{Name: "goversion", Value: build.Go})
	gauge("ropeway_start_time_seconds", "When the agent began, in seconds since the epoch.", seconds(st.Agent.Since))
	t.Family("ropeway_gateway_info", metrics.Gauge, "The gateway, and the backend of its devices.")
	t.Sample(1, metrics.Label{Name: "fabric", Value: st.Fabric}, metrics.Label{Name: "gateway", Value: st.Gateway},
		metrics.Label{Name: "backend", Value: string(st.Backend.Kind)})
	gauge("ropeway_healthy", "1 where the machine is as the plan in force says and its devices are up.", truth(st.Healthy))
	t.Family("ropeway_plan_info", metrics.Gauge, "Revisions of the plan in force (wanted) and of the one the machine was last found to be (applied).")
	t.Sample(1, metrics.Label{Name: "wanted", Value: st.Plan.Wanted}, metrics.Label{Name: "applied", Value: st.Plan.Applied})
	gauge("ropeway_plan_applied", "1 where the plan in force is applied.", truth(st.Plan.Wanted != "" && st.Plan.Wanted == st.Plan.Applied))
	gauge("ropeway_plan_refused", "1 where the plan file is refused and the last good plan stays in force.", truth(st.Plan.Refused != nil))
	t.Family("ropeway_plan_refusals_total", metrics.Counter, "Times that the plan file was refused.")
	t.Sample(float64(st.Plan.Refusals))
	t.Family("ropeway_applies_total", metrics.Counter, "Passes that changed something or met a new plan.")
	t.Sample(float64(st.Applies))
	if st.LastApply != nil {
		gauge("ropeway_last_apply_time_seconds", "When the last of those passes began, in seconds since the epoch.", seconds(st.LastApply.At))
		gauge("ropeway_last_apply_duration_seconds", "How long it took.", st.LastApply.Duration)
	}
	byStep("ropeway_drift_repairs_total", "Changes that nobody asked for and that were undone.", st.Repairs)
	byStep("ropeway_step_failures_total", "Steps that failed.", st.Failures)
	gauge("ropeway_routes", "Prefixes routed into the fabric.", float64(st.Routes.Installed))
	gauge("ropeway_routes_wanted", "Prefixes that the plan routes.", float64(st.Routes.Wanted))
	gauge("ropeway_firewall_in_place", "1 where the table is there.", truth(st.Firewall.InPlace))
	t.Family("ropeway_firewall_dropped_packets_total", metrics.Counter, "Packets dropped by the table since it was made.")
	for _, why := range slices.Sorted(maps.Keys(st.Firewall.Dropped)) {
		t.Sample(float64(st.Firewall.Dropped[why]), metrics.Label{Name: "why", Value: why})
	}
	t.Family("ropeway_firewall_answers_packets_total", metrics.Counter, "Packets that passed as answers to what another gateway saw, since the table was made.")
	t.Sample(float64(st.Firewall.Answers))
	gauge("ropeway_drained", "1 where an operator wants traffic to use other gateways.", truth(st.Drained != nil))
	st.Controller.expose(gauge)
	st.BGP.expose(&t)
	st.Table.expose(&t)
	devices(&t, st.Devices)
	return t.Bytes()
}

func devices(t *metrics.Text, all []DeviceStatus) {
	t.Family("ropeway_device_up", metrics.Gauge, "1 where the device is there and up.")
	for _, d := range all {
		t.Sample(truth(d.Up), metrics.Label{Name: "device", Value: d.Name}, metrics.Label{Name: "backend", Value: string(d.Backend)})
	}
	perPeer := func(name string, kind metrics.Kind, help string, value func(*PeerStatus) (float64, bool)) {
		t.Family(name, kind, help)
		for i := range all {
			for j := range all[i].Peers {
				p := &all[i].Peers[j]
				if v, known := value(p); known {
					t.Sample(v, metrics.Label{Name: "device", Value: all[i].Name}, metrics.Label{Name: "peer", Value: p.Gateway})
				}
			}
		}
	}
	perPeer("ropeway_peer_up", metrics.Gauge, "1 where there is a session that packets can use.",
		func(p *PeerStatus) (float64, bool) { return truth(p.State == Up), true })
	perPeer("ropeway_peer_last_handshake_seconds", metrics.Gauge, "When the last handshake was, in seconds since the epoch.",
		func(p *PeerStatus) (float64, bool) {
			if p.Handshake == nil {
				return 0, false
			}
			return seconds(*p.Handshake), true
		})
	perPeer("ropeway_peer_received_bytes_total", metrics.Counter, "Bytes received, WireGuard's own included.",
		func(p *PeerStatus) (float64, bool) { return float64(p.Received), true })
	perPeer("ropeway_peer_sent_bytes_total", metrics.Counter, "Bytes sent, WireGuard's own included.",
		func(p *PeerStatus) (float64, bool) { return float64(p.Sent), true })
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
