package controller

import (
	"crypto/rand"
	"fmt"
	"sync/atomic"
)

// A pulse counts the changes of what people see of gateways. Whoever watches asks with the last count that he heard, so that an answer costs
// nothing as long as nothing happens. The name tells the counts of two controllers, or of two lives of one, apart.
type pulse struct {
	name    string
	changes atomic.Uint64
}

func newPulse() *pulse { return &pulse{name: rand.Text()} }

// beat notes that people would see something else now.
func (p *pulse) beat() { p.changes.Add(1) }

// state names what people see now. It is read before what it names, so that nothing is missed between the two.
func (p *pulse) state() string { return fmt.Sprintf("%s-%d", p.name, p.changes.Load()) }
