package stability_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/lab"
	"ropeway/internal/lab/world"
)

// TestFaults injects what the seed says while three people change the fabric, gateways enroll, and probes cross the fabric in all directions.
func TestFaults(t *testing.T) {
	l := up(t, *controllers)
	o := newOffice(t, l)
	h, n := newHistory(o), &newcomers{o: o, dir: t.TempDir()}
	probes, stop := probe(t, l), make(chan struct{})
	var people sync.WaitGroup
	for number := range 3 {
		people.Go(func() { h.person(t, number, stop) })
	}
	people.Go(func() { n.come(t, stop) })

	random := rand.New(rand.NewPCG(*seed, 0))
	for i := range *injections {
		f := draw(t, random, o)
		lasts := time.Duration(300+random.IntN(1200)) * time.Millisecond
		t.Logf("injection %d: %s for %s", i+1, f, lasts)
		mend := inject(t, l, f)
		time.Sleep(lasts)
		mend()
		time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
	}
	close(stop)
	people.Wait()
	h.judge(t)
	n.judge(t)
	caughtUp(t, l, o)
	probes.none(t)
}

// draw chooses a fault of the control plane. Whose turn it is, and what becomes of him, is the seed's to say; every other time it is the leader's.
func draw(t *testing.T, random *rand.Rand, o *office) lab.Fault {
	t.Helper()
	controller := regions[random.IntN(len(o.servers))].name
	if random.IntN(2) == 0 {
		controller = leader(t, o, controller)
	}
	gateway := regions[random.IntN(len(regions))].name + "-a"
	return []lab.Fault{
		{Kind: lab.ControllerKill, A: controller},
		{Kind: lab.ControllerKill, A: lab.Everybody},
		{Kind: lab.ControllerStop, A: controller},
		{Kind: lab.ControllerPartition, A: controller},
		{Kind: lab.DiskFull, A: controller},
		{Kind: lab.ClockSkew, A: controller, Offset: time.Duration(1-2*random.IntN(2)) * time.Hour},
		{Kind: lab.AgentKill, A: gateway},
		{Kind: lab.AgentStop, A: gateway},
	}[random.IntN(8)]
}

// leader returns the controller that leads the others, and another one where there is none just now.
func leader(t *testing.T, o *office, other string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), answerTimeout)
	defer cancel()
	text, err := on(ctx, o.l, world.OperatorSpace, "", "ropeway", "cluster", "status", "-o", "json")
	var members []struct{ Name, Role string }
	if err != nil || json.Unmarshal([]byte(text), &members) != nil {
		return other
	}
	for _, m := range members {
		if m.Role == "leader" {
			return m.Name
		}
	}
	return other
}

// caughtUp waits until every gateway is what the newest revision says, and well.
func caughtUp(t *testing.T, l *lab.Lab, o *office) {
	t.Helper()
	newest := o.look(t, 0).Revision.Number
	for _, r := range regions {
		gateway := r.name + "-a"
		eventually(t, fmt.Sprintf("%s is at revision %d", gateway, newest), func() error {
			held, err := epoch(l, gateway)
			if err != nil || held != newest {
				return errors.Join(err, fmt.Errorf("it holds %d", held))
			}
			text, err := on(t.Context(), l, gateway, "", "ropeway-gateway", "status", "-o", "json")
			if err != nil {
				return fmt.Errorf("%w: %s", err, text)
			}
			var s struct {
				Healthy bool
				Reasons []string
				Plan    struct{ Wanted, Applied string }
			}
			if err := json.Unmarshal([]byte(text), &s); err != nil {
				return err
			}
			if !s.Healthy || s.Plan.Wanted != s.Plan.Applied {
				return fmt.Errorf("it is %+v", s)
			}
			return nil
		})
	}
}

// epoch returns the number of the revision that a gateway was told last.
func epoch(l *lab.Lab, gateway string) (uint64, error) {
	data, err := os.ReadFile(filepath.Join(home(l), "gateways", gateway, "state", "grant.pb"))
	if err != nil {
		return 0, err
	}
	signed, g := &ropewayv1.SignedGrant{}, &ropewayv1.Grant{}
	if err := proto.Unmarshal(data, signed); err != nil {
		return 0, err
	}
	err = proto.Unmarshal(signed.GetGrant(), g)
	return g.GetEpoch(), err
}
