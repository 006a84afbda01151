// Package compile turns what is wanted into a plan for every gateway.
package compile

import (
	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/state"
)

// Compile makes the plan of a fabric. The lock may be nil; the one returned holds what the plan allocated, and the caller keeps
// it where the plan is accepted. The same fabric and lock give the same plan, byte for byte.
func Compile(in *intent.Fabric, lock *state.Lock) (*plan.Fabric, *state.Lock) { panic("being written") }
