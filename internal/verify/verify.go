// Package verify proves what a plan will do with every packet, before anything changes. It reasons over plans only: what was
// intended enters as the specification to hold them against, never as a premise.
package verify

import (
	"ropeway/internal/intent"
	"ropeway/internal/plan"
)

// A Model is a plan made ready for questions.
type Model struct{}

// New indexes a plan under some facts. It never fails: whatever is wrong with a plan is a finding.
func New(p *plan.Fabric, facts Facts) *Model { panic("being written") }

// Check judges the plan against the tests and the access of a fabric, and looks for what is wrong in itself.
func (m *Model) Check(in *intent.Fabric) *Report { panic("being written") }

// Trace follows one packet, and with answer also the answer to it.
func (m *Model) Trace(p Packet, answer bool) *Trace { panic("being written") }

// Failures checks the plan again for the loss of each gateway and of each link, and reports what breaks that held before.
func Failures(p *plan.Fabric, facts Facts, in *intent.Fabric) []Failure { panic("being written") }
