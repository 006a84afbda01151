// Package proposal is what somebody wants a fabric to become, beside what it is: what changes on every gateway, who gains and loses a path, and
// whether the new plan is proven. The command line shows it before a file is accepted, the controller before it is applied.
package proposal

import (
	"slices"

	"ropeway/internal/compile"
	"ropeway/internal/diag"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/reach"
	"ropeway/internal/state"
	"ropeway/internal/verify"
)

// A Side is a fabric and its plan; both are nil where there is none yet.
type Side struct {
	Intent *intent.Fabric
	Plan   *plan.Fabric
}

// A Proposal is a plan beside the one before, as plan -o json prints it.
type Proposal struct {
	Fabric       string         `json:"fabric"`
	Changed      bool           `json:"changed"`
	Accepted     bool           `json:"accepted"` // by the very command that shows it
	Plan         *plan.Diff     `json:"plan"`
	Reachability *reach.Diff    `json:"reachability"` // nil where only Prove made it
	Proof        *verify.Report `json:"proof"`

	After *plan.Fabric `json:"-"`
	Lock  *state.Lock  `json:"-"` // holds what the new plan allocated
}

// Make compiles a fabric, compares it with what is before, and proves it. The compiler should be the one that compiled what is before: what did
// not change is then neither compiled again nor compared.
func Make(c *compile.Compiler, before Side, in *intent.Fabric, lock *state.Lock) *Proposal {
	after, next := c.Compile(in, lock)
	return Weigh(before, Side{Intent: in, Plan: after}, next)
}

// Weigh is Make without the compiler: it compares two plans and proves the second. It changes nothing of them, so several may be weighed at a time.
func Weigh(before, then Side, next *state.Lock) *Proposal {
	p, model := prove(before, then, next)
	p.Reachability = &reach.Diff{Changes: []reach.Change{}}
	if !p.Plan.Empty() { // the same plan does the same with every packet
		p.Reachability = reach.Compare(before.ready(), reach.Side{Intent: then.Intent, Model: model})
	}
	return p
}

// Prove is Weigh for who does not ask who gains and loses a path, which takes as long as all else.
func Prove(before, then Side, next *state.Lock) *Proposal {
	p, _ := prove(before, then, next)
	return p
}

func prove(before, then Side, next *state.Lock) (*Proposal, *verify.Model) {
	model := verify.New(then.Plan, verify.Facts{})
	p := &Proposal{Fabric: then.Intent.Name, Plan: plan.Compare(before.Plan, then.Plan), Proof: model.Check(then.Intent), After: then.Plan, Lock: next}
	p.Changed = !p.Plan.Empty() || before.Plan == nil
	return p, model
}

// ready returns a side as reach asks it.
func (s Side) ready() reach.Side {
	if s.Plan == nil {
		return reach.Side{}
	}
	return reach.Side{Intent: s.Intent, Model: verify.New(s.Plan, verify.Facts{})}
}

// Unproven returns what keeps the proof from holding beside the codes that somebody overrides: codes of problems, and "tests" where a test fails.
func (p *Proposal) Unproven(override []string) []string {
	var left []string
	note := func(what string) {
		if !slices.Contains(override, what) && !slices.Contains(left, what) {
			left = append(left, what)
		}
	}
	for _, problem := range p.Proof.Problems {
		if problem.Severity == diag.Error {
			note(string(problem.Code))
		}
	}
	for _, t := range p.Proof.Tests {
		if !t.OK {
			note("tests")
		}
	}
	return left
}
