// Package verify proves what a plan will do with every packet, before anything changes. It reasons over plans only: what was
// intended enters as the specification to hold them against, never as a premise.
//
// The proof is exhaustive, not sampled. The address space is cut into atoms, at every boundary of a prefix that the plan or the
// specification names; what happens to one address of an atom happens to all. Atoms that no list tells apart are painted together,
// into rows that say what every gateway, device and place does with them (longest prefix first, as the kernel and WireGuard do), and
// atoms whose rows are alike become one class. Then every pair of classes in different places is walked there and back, and filters,
// which are kept apart from the rows, say which services pass. docs/proof.md says what this assumes of the world.
//
// The same questions are answered twice, in two ways. Check works on classes and is fast. Trace takes one packet through the
// plan's own lists, and says which of them decided; a report's examples are traces, so the two are held against each other.
package verify

import (
	"ropeway/internal/diag"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
)

// A Model is a plan made ready for questions. It is not safe for concurrent use.
type Model struct {
	plan         *plan.Fabric
	facts        conditions
	pool         *pool
	uses         []use  // by listID: what a list decides
	isFilter     []bool // by listID: a list decides what passes
	places       []place
	gateways     []gateway
	devices      []device // of all gateways, in their order
	filters      []filter
	numbers      map[string]int32 // of gateways, by name
	placeNumbers map[string]int32
	rules        int       // routes, allowed prefixes and firewall rules
	problems     diag.List // of single gateways and places
	repeated     map[repeat]bool
	world        *world             // what Check made
	changes      map[int32]*overlay // what Update changed, by column of a row
	source       *source            // what the plan was derived from; nil where it was taken as it is
	lost         loss               // beside what the facts say
}

// A source is a plan whose gateways speak BGP, and the facts under which they did.
type source struct {
	plan  *plan.Fabric
	facts Facts
}

// New indexes a plan under some facts. Where gateways speak BGP it first works out what they come to. It never fails: whatever is wrong with a plan is a finding.
func New(p *plan.Fabric, facts Facts) *Model {
	if !speaks(p) {
		return newModel(p, facts, newPool())
	}
	derived, lists, problems := converged(p, facts)
	m := newModel(derived, facts, lists)
	m.problems = append(m.problems, problems...)
	m.source = &source{p, facts}
	return m
}

// newModel indexes a plan whose routes are all written. The pool may hold lists already, of the plan that this one was derived from: they are most of it, and are read once.
func newModel(p *plan.Fabric, facts Facts, lists *pool) *Model {
	m := &Model{
		plan: p, facts: newConditions(facts), pool: lists,
		numbers: map[string]int32{}, placeNumbers: map[string]int32{}, changes: map[int32]*overlay{}, lost: noLoss(),
	}
	m.index()
	known := map[filterKey]int32{}
	for i := range m.gateways {
		g := &m.gateways[i]
		g.filter = m.indexFilter(&g.Firewall, known)
	}
	m.connect()
	m.findRepeated()
	return m
}

// Check judges the plan against the tests and the access of a fabric, and looks for what is wrong in itself.
func (m *Model) Check(in *intent.Fabric) *Report {
	m.prepare(in)
	return m.report()
}

// prepare judges every pair, unless that was done and kept up to date.
func (m *Model) prepare(in *intent.Fabric) {
	m.draw(in)
	if !m.world.judged {
		m.world.judgeAll(m)
	}
}

// draw cuts the plan up for a specification, unless that was done and kept up to date.
func (m *Model) draw(in *intent.Fabric) {
	if m.world == nil || m.world.in != in {
		m.settle()
		m.world = newWorld(m, in)
	}
}
