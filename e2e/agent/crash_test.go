package agent_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ropeway/internal/agent"
	"ropeway/internal/plan"
)

// TestKilledAfterEveryStep: wherever an agent dies, on a bare machine or on its way from one plan to another, the next one makes
// the machine as the last plan says, and a connection that both plans have goes on.
func TestKilledAfterEveryStep(t *testing.T) {
	w := newWorld(t, 3)
	a, b, c := w.gateways[0], w.gateways[1], w.gateways[2]
	b.echo()
	c.echo()
	w.start()
	old, next := w.plan(1, 2), w.plan(1, 2, 3)
	next.Devices[0].MTU, next.Routes[0].MTU = 1400, 1400 // every step has something to do
	next.Sysctls = append(next.Sysctls, plan.Sysctl{Key: "net/ipv4/conf/rw0/log_martians", Value: "1"})

	for _, step := range agent.StepNames() {
		for _, from := range []string{"a bare machine", "another plan"} {
			a.agent.kill()
			if from == "a bare machine" {
				must(t, a.down())
			} else {
				a.write(old)
				a.start()
				a.waitHealthy()
				a.agent.kill()
			}
			revision := a.write(next)
			if from == "another plan" || step != "keep" { // only a plan that is not kept yet is kept
				a.diesAt(step)
			}
			a.start()
			st := a.waitHealthy()
			if st.Plan.Wanted != revision || st.Plan.Applied != revision {
				t.Errorf("killed after %s on %s: %s wanted, %s applied, the plan is %s", step, from, st.Plan.Wanted, st.Plan.Applied, revision)
			}
			eventually(t, 20*time.Second, "gw1 reaches gw2 after dying at "+step, func() bool { return a.reaches(b) })
			eventually(t, 20*time.Second, "gw1 reaches gw3 after dying at "+step, func() bool { return a.reaches(c) })
			if left := a.differs(); left != "" {
				t.Errorf("killed after %s on %s: the machine is not as the plan says: %s", step, from, left)
			}
		}
	}
}

// diesAt starts an agent that kills itself after a step, and waits until it has.
func (g *gateway) diesAt(step string) {
	g.t.Helper()
	g.env = []string{"ROPEWAY_FAILPOINT=" + step}
	p := g.start()
	g.env = nil
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		g.t.Fatalf("the agent never came to the end of step %s", step)
	}
	if status := p.cmd.ProcessState.Sys().(interface{ Signal() unix.Signal }); status.Signal() != unix.SIGKILL {
		g.t.Fatalf("the agent ended otherwise than at step %s: %v", step, p.cmd.ProcessState)
	}
}

// differs returns what a dry run would still change.
func (g *gateway) differs() string {
	g.t.Helper()
	out, errs, err := g.run(g.runArgs("--dry-run")...)
	if err != nil {
		return err.Error() + ": " + errs
	}
	if hasLine(out, "0 changes, none of them made") {
		return ""
	}
	return out
}

// TestKilledAtAnyMoment: as above, at moments that no step marks, while a stream goes through a peer that every plan has.
func TestKilledAtAnyMoment(t *testing.T) {
	w := newWorld(t, 3)
	a, b := w.gateways[0], w.gateways[1]
	b.echo()
	w.start()
	s := a.stream(b)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	for i := range 20 {
		others := []int{2, 3}
		if i%2 == 0 {
			others = others[:1]
		}
		a.agent.kill()
		a.write(w.plan(1, others...))
		p := a.start()
		time.Sleep(time.Duration(random.IntN(120)) * time.Millisecond)
		p.kill()
	}
	a.start()
	a.waitHealthy()
	if left := a.differs(); left != "" {
		t.Errorf("the machine is not as the plan says: %s", left)
	}
	sent, lost := s.end(t)
	t.Logf("%d packets there and back, %d lost", sent, lost)
	if lost > 0 {
		t.Errorf("%d of %d packets were lost", lost, sent)
	}
}

// TestDownAfterAKill: wherever the agent was killed while it came up, down leaves nothing that comes up later.
func TestDownAfterAKill(t *testing.T) {
	w := newWorld(t, 2)
	a := w.gateways[0]
	a.write(w.plan(1, 2))
	before := a.picture(t)
	for i := range 15 {
		p := a.start()
		time.Sleep(time.Duration(10+i*5) * time.Millisecond)
		p.kill()
		must(t, a.down())
		eventually(t, 10*time.Second, "no process is left", func() bool { return len(a.processes()) == 0 })
		if after := a.picture(t); after != before {
			t.Fatalf("killed after %d ms; before:\n%s\nafter:\n%s", 10+i*5, before, after)
		}
	}
}
