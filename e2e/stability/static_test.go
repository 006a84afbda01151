package stability_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/lab"
)

// TestStaticStability takes the controllers away in every way for longer than a gateway's patience with them, and lets agents begin without any.
func TestStaticStability(t *testing.T) {
	l := up(t, *controllers)
	o := newOffice(t, l)
	first := regions[0].name

	t.Run("all controllers dead, agents killed", func(t *testing.T) {
		probes := probe(t, l)
		alive := inject(t, l, lab.Fault{Kind: lab.ControllerKill, A: lab.Everybody})
		for _, r := range regions { // each dies, is away for a while, and begins with what is on its disk
			back := inject(t, l, lab.Fault{Kind: lab.AgentKill, A: r.name + "-a"})
			time.Sleep(500 * time.Millisecond)
			back()
		}
		agrees(t, l)
		alive()
		apply(t, o, "tcp/81")
		caughtUp(t, l, o)
		probes.none(t)
	})
	t.Run("a gateway boots without any controller", func(t *testing.T) {
		probes := probe(t, l)
		alive := inject(t, l, lab.Fault{Kind: lab.ControllerKill, A: lab.Everybody})
		on := inject(t, l, lab.Fault{Kind: lab.GatewayKill, A: regions[1].name + "-a"})
		time.Sleep(time.Second)
		on()
		agrees(t, l)
		alive()
		if sent, _, lost := probes.end(); len(lost) == 0 { // whoever has no power forwards nothing: probes would tell
			t.Errorf("a gateway without power lost none of %d probes", sent)
		}
		apply(t, o, "tcp/82")
		caughtUp(t, l, o)
	})
	t.Run("a controller's clock is wrong", func(t *testing.T) {
		for i, offset := range []time.Duration{time.Hour, -time.Hour} {
			probes := probe(t, l)
			right := inject(t, l, lab.Fault{Kind: lab.ClockSkew, A: first, Offset: offset})
			dead := inject(t, l, lab.Fault{Kind: lab.ControllerKill, A: lab.Everybody}) // it starts again with that clock
			dead()
			back := inject(t, l, lab.Fault{Kind: lab.AgentKill, A: first + "-a"})
			back()
			time.Sleep(2 * time.Second)
			right()
			apply(t, o, fmt.Sprintf("tcp/%d", 83+i))
			caughtUp(t, l, o)
			probes.none(t)
		}
	})
}

// TestARegionThatIsCutOff goes on by itself, and catches up.
func TestARegionThatIsCutOff(t *testing.T) {
	l := up(t, *controllers)
	o := newOffice(t, l)
	apart := regions[2]
	join := inject(t, l, lab.Fault{Kind: lab.RegionPartition, A: apart.name})
	probes := probe(t, l)
	newest := apply(t, o, "tcp/81")
	eventually(t, "the others have the new revision", func() error {
		for _, r := range regions[:2] {
			if held, err := epoch(l, r.name+"-a"); err != nil || held != newest {
				return fmt.Errorf("%s holds %d: %w", r.name, held, err)
			}
		}
		return nil
	})
	if held, err := epoch(l, apart.name+"-a"); err != nil || held >= newest {
		t.Errorf("the region that is cut off holds %d, %v", held, err)
	}
	agrees(t, l) // the prover is told of the partition, and of who follows which revision
	join()
	caughtUp(t, l, o)
	agrees(t, l)
	_, _, lost := probes.end()
	for _, what := range lost {
		if !strings.Contains(what, apart.name) {
			t.Errorf("between the others was lost: %s", what)
		}
	}
	if len(lost) == 0 {
		t.Error("a region was cut off, and no probe was lost")
	}
}

// apply makes a file with one more service the newest revision, as soon as somebody takes it.
func apply(t *testing.T, o *office, service string) (number uint64) {
	t.Helper()
	eventually(t, "a change is accepted", func() error {
		base := o.look(t, 0).Revision.Number
		return o.talk(o.servers[0], func(f ropewayv1connect.FabricServiceClient) error {
			r, err := f.Apply(t.Context(), &ropewayv1.ApplyRequest{File: []byte(fabric(service)), Name: "steady.yaml", Base: base, AtOnce: true})
			number = r.GetRevision()
			return err
		})
	})
	return number
}

// agrees sends packets and fails where one does other than the prover says.
func agrees(t *testing.T, l *lab.Lab) {
	t.Helper()
	r, err := l.Test(t.Context(), lab.TestOptions{Everything: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, res := range r.Results {
		if !res.Agree {
			t.Errorf("%s → %s %s size %d: predicted %s, observed %s (%s)", res.From, res.To, res.Service, res.Size, res.Predicted, res.Observed, res.Reason)
		}
	}
	if r.Sent == 0 {
		t.Error("nothing was sent")
	}
}
