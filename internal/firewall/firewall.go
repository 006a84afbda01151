// Package firewall carries out a plan's firewall: one nftables table, `inet ropeway`.
package firewall

import "ropeway/internal/plan"

// A Ruleset is the table as data. It is made by Compile and does not change.
type Ruleset struct{}

// Compile returns the table that a plan asks for.
func Compile(g *plan.Gateway) *Ruleset { return &Ruleset{} }

// Render returns the table as text that `nft -f` takes and a person reads.
func Render(g *plan.Gateway) []byte { return nil }

// A State is what the kernel holds of the table, as Observe found it.
type State struct{}

// A Change is what has to be done so that the kernel holds the table wanted.
type Change struct{}

// Empty reports whether there is nothing to do.
func (c *Change) Empty() bool { return true }

// Lines says the change in words, a line for each thing that changes: "+ set …", "~ chain out: 3 rules", "- counter …".
func (c *Change) Lines() []string { return nil }

// Diff returns what turns have into want. It is pure.
func Diff(have *State, want *Ruleset) *Change { return nil }
