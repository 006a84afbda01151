package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ropeway/internal/compile"
	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/intent"
	"ropeway/internal/lab"
	"ropeway/internal/plan"
	"ropeway/internal/verify"
)

// TestKernelAgreesWithProof brings up random fabrics, a third of them as written and the others with damaged plans, and sends every
// service between every two hosts, both ways, small, as large as the path carries, and larger. One packet that does other than the
// prover said fails the test.
func TestKernelAgreesWithProof(t *testing.T) {
	kernelAgreesOften(t, fabric.Static, *fabrics)
}

// TestKernelAgreesWithProofOfBGP does so with fabrics whose gateways learn their routes, by FRR or BIRD.
func TestKernelAgreesWithProofOfBGP(t *testing.T) {
	kernelAgreesOften(t, fabric.BGP, *speaking)
}

func kernelAgreesOften(t *testing.T, mode fabric.RoutingMode, count int) {
	t.Helper()
	slots := make(chan struct{}, *together)
	for i := range count {
		n := *seed + uint64(i)
		t.Run(fmt.Sprintf("seed-%d", n), func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			kernelAgrees(t, n, mode)
		})
	}
}

func kernelAgrees(t *testing.T, n uint64, mode fabric.RoutingMode) {
	t.Helper()
	text, in := randomFabric(n, mode)
	spoil := func(p *plan.Fabric) []string {
		if n%3 == 0 {
			return nil
		}
		return damage(rand.New(rand.NewPCG(n, 1<<32)), p)
	}
	if undecided(in, spoil) {
		t.Skipf("seed %d: the proof refuses the plan, since what gateways come to is open (RW3036)\n%s", n, text)
	}
	var done []string
	opts := lab.Options{
		Name: labName(fmt.Sprintf("k%d", n)), Agent: filepath.Join(programs, "ropeway-gateway"),
		Command:   filepath.Join(programs, "ropeway"),
		Responder: []string{filepath.Join(programs, "ropeway"), "lab", "serve"},
	}
	if n%3 != 0 {
		// The prover knows which links of a damaged plan come up; waiting for those that do not would be idle.
		opts.Patience = 2500 * time.Millisecond
		opts.Damage = func(p *plan.Fabric) { done = spoil(p) }
	}
	begun := time.Now()
	l, silent, err := lab.Up(t.Context(), "fabric.yaml", []byte(text), opts)
	if err != nil {
		t.Fatalf("seed %d: %v\n%s", n, err, text)
	}
	defer func() {
		if *keep {
			t.Logf("lab %s stays: ropeway lab test --name %s", l.Name, l.Name)
			return
		}
		if err := l.Down(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if left := leftovers(t, opts.Name); len(left) > 0 {
			t.Errorf("the lab left %q", left)
		}
	}()
	up := time.Since(begun)
	r, err := l.Test(t.Context(), lab.TestOptions{Everything: true})
	if err != nil {
		t.Fatalf("seed %d: %v\n%s", n, err, text)
	}
	t.Logf("seed %d: %d places, %d gateways, %s; up after %.1f s, %d flows after %.1f s; damage: %s; silent: %v",
		n, len(in.Places), len(in.Gateways()), in.Topology, up.Seconds(), r.Sent, time.Since(begun).Seconds(), strings.Join(done, "; "), silent)
	if len(r.Astray) > 0 {
		t.Logf("seed %d: routes that are not what the prover says: %s", n, strings.Join(r.Astray, "; "))
	}
	if bad := disagreements(r); len(bad) > 0 {
		t.Errorf("seed %d: packets and prover disagree (go test ./e2e -run Kernel -seed %d -fabrics 1 -speaking 1)\ndamage: %s\n%s\n%s",
			n, n, strings.Join(done, "; "), strings.Join(bad, "\n"), text)
	}
}

// undecided reports whether the proof says of a plan that gateways may come to one thing or another, or to nothing. There is no prediction then that packets could agree with.
func undecided(in *intent.Fabric, spoil func(*plan.Fabric) []string) bool {
	p, _ := compile.Compile(in, nil)
	spoil(p)
	r := verify.New(p, verify.Facts{}).Check(in)
	return slices.ContainsFunc(r.Problems, func(x diag.Problem) bool { return x.Code == "RW3036" })
}

// disagreements describes what packets did otherwise than predicted, at most twenty of them.
func disagreements(r *lab.Report) []string {
	var bad []string
	for _, res := range r.Results {
		if !res.Agree && len(bad) < 20 {
			bad = append(bad, fmt.Sprintf("%s (%s) → %s (%s) %s, size %d, stream %v: predicted %s, observed %s; %s",
				res.From, res.FromHost, res.To, res.ToHost, res.Service, res.Size, res.Stream, res.Predicted, res.Observed, res.Reason))
		}
	}
	for i, tested := range r.Tests {
		if !tested.Agree {
			bad = append(bad, fmt.Sprintf("test %d, %s → %s %s: predicted %v, observed %v; %s",
				i+1, tested.From, tested.To, tested.Expect, tested.Predicted, tested.Observed, tested.Reason))
		}
	}
	if len(r.Results) == 0 {
		bad = append(bad, "nothing was sent")
	}
	return bad
}
