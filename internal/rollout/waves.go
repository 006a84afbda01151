package rollout

import (
	"cmp"
	"slices"
)

// A Candidate is a gateway of the fabric as it is to become.
type Candidate struct {
	Name, Place string
	Concerned   bool // its plan changes
	Connected   bool // somebody hears of it
	Weight      int  // how much depends on it: the prefixes that packets cross it for
}

// widest bounds how many gateways the second wave names. In a fabric of more places the others come with the rest.
const widest = 512

// New returns the rollout of a revision, with its first wave admitted. Without a base there is nothing to go back to and nobody forwards yet, and
// where no plan changes nobody has to wait: it is done then.
func New(revision, base uint64, all []Candidate) Rollout {
	r := Rollout{Revision: revision, Base: base, State: Running}
	if base == 0 {
		return AtOnce(revision, base, all)
	}
	r.Waves, r.Rest = waves(all)
	if r.Total() == 0 {
		r.State = Done
		return r
	}
	for _, c := range all {
		if c.Concerned && !c.Connected && r.WaveOf(c.Name) == 0 {
			r.Away = append(r.Away, c.Name)
		}
	}
	return r
}

// AtOnce returns the rollout of a revision that everybody may have, and that nobody waits for.
func AtOnce(revision, base uint64, all []Candidate) Rollout {
	r := Rollout{Revision: revision, Base: base, State: Done, AtOnce: true}
	for _, c := range all {
		if c.Concerned {
			r.Rest++
		}
	}
	return r
}

// waves returns the canary and one of each place, sorted, and counts the rest. The order of the candidates does not matter.
func waves(all []Candidate) (named [][]string, rest int) {
	order := slices.Clone(all)
	slices.SortFunc(order, harmless(all))
	var canary, second []string
	places := map[string]bool{}
	for _, c := range order {
		switch {
		case !c.Concerned:
		case canary == nil:
			canary = []string{c.Name}
			places[c.Place] = true
		case !places[c.Place] && len(second) < widest:
			second = append(second, c.Name)
			places[c.Place] = true
		default:
			rest++
		}
	}
	for _, names := range [][]string{canary, second} {
		if len(names) > 0 {
			slices.Sort(names)
			named = append(named, names)
		}
	}
	return named, rest
}

// harmless orders gateways by how little is lost with them: first those of whom somebody hears, for only they can show anything; then those whose
// place has another one that is connected; then those that least depends on; then by name.
func harmless(all []Candidate) func(a, b Candidate) int {
	standing := map[string]int{} // connected gateways, by place
	for _, c := range all {
		if c.Connected {
			standing[c.Place]++
		}
	}
	others := func(c Candidate) int {
		if c.Connected {
			return standing[c.Place] - 1
		}
		return standing[c.Place]
	}
	first := func(b bool) int {
		if b {
			return 0
		}
		return 1
	}
	return func(a, b Candidate) int {
		return cmp.Or(
			cmp.Compare(first(a.Connected), first(b.Connected)),
			cmp.Compare(first(others(a) > 0), first(others(b) > 0)),
			cmp.Compare(a.Weight, b.Weight),
			cmp.Compare(a.Name, b.Name),
		)
	}
}
