package lab

import (
	"fmt"

	"ropeway/internal/fabric"
	"ropeway/internal/verify"
)

// A forecast is what the prover says will become of a flow, and why.
type forecast struct {
	Flow
	Outcome Outcome
	Reason  string
}

// predict asks the prover about a flow.
func predict(m *verify.Model, f Flow) forecast {
	t := m.Trace(verify.Packet{Source: f.From, Destination: f.To, Service: f.Service, Size: f.Size}, true)
	out := forecast{Flow: f, Outcome: Reachable}
	switch {
	case t.Forward.DroppedBy != nil:
		out.Outcome, out.Reason = Denied, why(t.Forward.DroppedBy)
	case t.Return == nil:
		out.Outcome = OneWay
	case t.Return.DroppedBy != nil:
		out.Outcome, out.Reason = OneWay, "answer: "+why(t.Return.DroppedBy)
	}
	if f.Stream && out.Outcome != Reachable {
		out.Outcome = Stalled
	}
	return out
}

func why(d *verify.Drop) string { return fmt.Sprintf("%s at %s: %s", d.Reason, d.At, d.Detail) }

// carries returns the largest packet that passes a flow's path there and back, by the prover; 0 where none does.
func carries(m *verify.Model, f Flow) int {
	t := m.Trace(verify.Packet{Source: f.From, Destination: f.To, Service: f.Service}, true)
	if t.Forward.DroppedBy != nil || t.Return == nil || t.Return.DroppedBy != nil {
		return 0
	}
	return min(t.Forward.MTU, t.Return.MTU)
}

// sized returns flows of the sizes that matter, for flows of small packets that pass where all is well: as large as the healthy
// path carries, one byte more, and where facts leave less, as large as is left and one byte more. A packet says it for ICMP and
// UDP; TCP, which chooses its own sizes, sends enough to fill some.
func sized(small []Flow, healthy, real *verify.Model) []Flow {
	var out []Flow
	done := map[[2]string]bool{} // pair and way of asking
	for _, f := range small {
		method := "packet"
		if f.Service.Protocol == fabric.TCP {
			method = "stream"
		}
		key := [2]string{f.From.String() + " " + f.To.String(), method}
		if done[key] {
			continue
		}
		planned := carries(healthy, f)
		if planned == 0 {
			continue
		}
		done[key] = true
		if method == "stream" {
			if carries(real, f) != 0 {
				out = append(out, Flow{f.From, f.To, f.Service, planned, true})
			}
			continue
		}
		sizes := []int{planned, planned + 1}
		if left := carries(real, f); left != 0 && left < planned {
			sizes = append(sizes, left, left+1)
		}
		for _, size := range sizes {
			out = append(out, Flow{f.From, f.To, f.Service, size, false})
		}
	}
	return out
}
