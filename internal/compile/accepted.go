package compile

import (
	"fmt"
	"maps"
	"slices"

	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/state"
)

// Accepted compiles what the lock remembers as accepted; nil where nothing is. Moved names the gateways for which this version of
// Ropeway makes another plan of the same file and lock than the version that was used then.
func Accepted(lock *state.Lock) (p *plan.Fabric, moved []string, err error) {
	before, source, ok := lock.Before()
	if !ok {
		return nil, nil, nil
	}
	in, problems := intent.Read("the accepted file in the lock", source)
	if err := problems.Err(); err != nil {
		return nil, nil, fmt.Errorf("compile what was accepted: %w", err)
	}
	p, _ = Compile(in, before)
	now := Revisions(p)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if was := lock.Accepted.Revisions[name]; was != now[name] {
			moved = append(moved, name)
		}
	}
	return p, moved, nil
}

// Revisions returns the revision of every gateway's plan.
func Revisions(p *plan.Fabric) map[string]string {
	out := make(map[string]string, len(p.Gateways))
	for _, g := range p.Gateways {
		out[g.Name] = plan.Revision(g)
	}
	return out
}
