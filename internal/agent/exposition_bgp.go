package agent

import "ropeway/internal/metrics"

// expose writes what is known of the routing daemon; nothing where the plan has none.
func (b *BGPStatus) expose(t *metrics.Text) {
	if b == nil {
		return
	}
	gauge := func(name, help string, value float64) {
		t.Family(name, metrics.Gauge, help)
		t.Sample(value)
	}
	t.Family("ropeway_bgp_daemon_up", metrics.Gauge, "1 where the routing daemon runs.")
	t.Sample(truth(b.Running), metrics.Label{Name: "daemon", Value: string(b.Daemon)}, metrics.Label{Name: "version", Value: b.Version})
	gauge("ropeway_bgp_prefixes", "Prefixes that were learnt.", float64(b.Prefixes))
	gauge("ropeway_bgp_paths", "Ways to them, those included that carry nothing.", float64(b.Paths))
	perNeighbor := func(name string, kind metrics.Kind, help string, value func(*NeighborStatus) (float64, bool)) {
		t.Family(name, kind, help)
		for i := range b.Neighbors {
			n := &b.Neighbors[i]
			if v, known := value(n); known {
				t.Sample(v, metrics.Label{Name: "neighbor", Value: n.Name}, metrics.Label{Name: "address", Value: n.Address.String()},
					metrics.Label{Name: "device", Value: n.Device})
			}
		}
	}
	perNeighbor("ropeway_bgp_session_up", metrics.Gauge, "1 where the session is established.",
		func(n *NeighborStatus) (float64, bool) { return truth(n.Up), true })
	perNeighbor("ropeway_bgp_session_flaps_total", metrics.Counter, "Times that the session was lost since the daemon began.",
		func(n *NeighborStatus) (float64, bool) { return float64(n.Flaps), n.State != Absent })
	perNeighbor("ropeway_bgp_prefixes_received", metrics.Gauge, "Prefixes accepted of the neighbour.",
		func(n *NeighborStatus) (float64, bool) { return float64(n.Received), true })
	perNeighbor("ropeway_bgp_prefixes_sent", metrics.Gauge, "Prefixes told to the neighbour.",
		func(n *NeighborStatus) (float64, bool) { return float64(n.Sent), true })
	perNeighbor("ropeway_bfd_up", metrics.Gauge, "1 where BFD finds the neighbour alive; absent where it does not watch.",
		func(n *NeighborStatus) (float64, bool) { return truth(n.BFD == "up"), n.BFD != "" })
	if c := b.Converged; c != nil {
		gauge("ropeway_bgp_last_convergence_seconds", "From the first to the last change of learnt routes that followed each other within a second.", c.Took)
		gauge("ropeway_bgp_last_convergence_changes", "How many there were, at least.", float64(c.Changes))
		gauge("ropeway_bgp_last_convergence_time_seconds", "When the first of them was, in seconds since the epoch.", seconds(c.At))
	}
}
