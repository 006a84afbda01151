package firewall

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
)

// A Change is what has to be done so that the kernel holds the table wanted.
type Change struct {
	anew     bool // the table is deleted, where there is one, and made again
	sets     []*set
	deltas   []setDelta
	counters []string
	chains   []chain         // to be made
	refill   []refill        // chains that get other rules
	old      heldNames       // to be deleted
	after    map[string]*set // what the sets hold afterwards
	want     [sha256.Size]byte
	present  bool
}

// A setDelta is what joins and leaves a set that stays.
type setDelta struct {
	set      *set // what it becomes
	add, del spans
}

// A refill is a chain and the rules that it gets, as expressions.
type refill struct {
	chain string
	rules []encodedRule
}

// An encodedRule is a rule as the kernel takes it.
type encodedRule struct {
	expressions []attr
	userdata    []byte
}

// heldNames are things that the kernel holds and nobody wants.
type heldNames struct{ chains, sets, counters []string }

// Empty reports whether there is nothing to do.
func (c *Change) Empty() bool {
	return !c.anew && len(c.sets)+len(c.deltas)+len(c.counters)+len(c.chains)+len(c.refill) == 0 &&
		len(c.old.chains)+len(c.old.sets)+len(c.old.counters) == 0
}

// Lines says the change in words, one line for each thing that is made (+), changed (~) or deleted (-).
func (c *Change) Lines() []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	switch {
	case c.anew && c.present:
		say("~ table %s %s: made again", TableFamily, TableName)
	case c.anew:
		say("+ table %s %s", TableFamily, TableName)
	}
	for _, s := range c.sets {
		say("+ set %s: %d elements", s.name, s.spans.len())
	}
	for _, d := range c.deltas {
		say("~ set %s: %d elements more, %d less", d.set.name, d.add.len(), d.del.len())
	}
	for _, name := range c.counters {
		say("+ counter %s", name)
	}
	for _, r := range c.refill {
		say("~ chain %s: %d rules", r.chain, len(r.rules))
	}
	for _, name := range c.old.chains {
		say("- chain %s", name)
	}
	for _, name := range c.old.sets {
		say("- set %s", name)
	}
	for _, name := range c.old.counters {
		say("- counter %s", name)
	}
	return out
}

// elements counts the elements that the change sends.
func (c *Change) elements() int {
	n := 0
	for _, s := range c.sets {
		n += s.spans.len()
	}
	for _, d := range c.deltas {
		n += d.add.len() + d.del.len()
	}
	return n
}

// Diff returns what turns have into want. It is pure.
//
// A table that holds what no table of ours ever does is made again as a whole. Otherwise a set of which most stays gets the
// difference of its elements, a chain whose rules differ gets all its rules anew, and everything else is left alone.
func Diff(have *State, want *Ruleset) *Change {
	c := &Change{want: want.digest, present: have.present, after: map[string]*set{}}
	if have.present && have.settled == want.digest {
		return c
	}
	c.anew = !have.present || have.odd || misshapen(have, want)
	base := have
	if c.anew {
		base = &State{}
	}
	renamed := c.diffSets(base, want)
	for _, name := range want.counters {
		if !base.counters[name] {
			c.counters = append(c.counters, name)
		}
	}
	c.diffChains(base, want, renamed)
	c.old.counters = surplus(base.counters, want.counters)
	return c
}

// misshapen reports whether something of ours is there under its name but is another thing, which only making it again can
// mend: a chain that hangs elsewhere, a set of another kind.
func misshapen(have *State, want *Ruleset) bool {
	for _, w := range want.chains {
		if h := have.chains[w.name]; h != nil && !sameHook(h.hook, w.hook) {
			return true
		}
	}
	for _, w := range want.sets {
		if h := have.sets[w.name]; h != nil && !w.interned() && h.kind != w.kind {
			return true
		}
	}
	return false
}

func sameHook(have, want *hook) bool {
	if have == nil || want == nil {
		return have == want
	}
	return have.number == want.number && have.priority == want.priority && have.policy == want.policy && have.kind == want.kind
}

// diffSets finds for each set wanted the one held that it can be made of, and returns the names that this gives to sets.
func (c *Change) diffSets(have *State, want *Ruleset) (renamed map[*set]string) {
	renamed = adopt(have, want)
	var kept []string
	for _, w := range want.sets {
		name := w.name
		if n, ok := renamed[w]; ok {
			name = n
			sealed := *w
			sealed.name = n
			w = &sealed
		}
		c.after[name] = w
		h := have.sets[name]
		switch {
		case h == nil:
			c.sets = append(c.sets, w)
			continue
		case h.digest != w.digest:
			add, del := delta(h.spans, w.spans)
			c.deltas = append(c.deltas, setDelta{w, add, del})
		}
		kept = append(kept, name)
	}
	c.old.sets = surplus(have.sets, kept)
	return renamed
}

// adopt chooses names for the sets wanted. A set with the same elements as one held takes its name. One whose elements mostly
// are in a set held that nobody else needs takes that name, so that only the difference is sent. Otherwise it keeps its own
// name, unless that is taken.
func adopt(have *State, want *Ruleset) map[*set]string {
	renamed, taken, fixed := map[*set]string{}, map[string]bool{}, map[string]bool{}
	held := map[[sha256.Size]byte]string{}
	for _, w := range want.sets {
		if !w.interned() {
			taken[w.name], fixed[w.name] = true, true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have.sets)) {
		if s := have.sets[name]; !fixed[name] && s.kind != foreign {
			held[s.digest] = name
		}
	}
	var rest []*set
	for _, w := range want.sets {
		name, ok := held[w.digest]
		switch {
		case fixed[w.name]:
		case ok:
			renamed[w], taken[name] = name, true
		default:
			rest = append(rest, w)
		}
	}
	for _, w := range rest {
		name := nearest(w, have, taken)
		if name == "" {
			continue
		}
		renamed[w], taken[name] = name, true
	}
	for name, s := range have.sets { // a name that is held for something else cannot be made in the same transaction
		taken[name] = taken[name] || s != nil
	}
	for _, w := range rest {
		if renamed[w] == "" {
			name := unusedName(w.name, taken)
			renamed[w], taken[name] = name, true
		}
	}
	return renamed
}

// nearest returns the name of the set held, of those not taken, from which w is made with the fewest elements sent, or "" where
// making it anew sends fewer.
func nearest(w *set, have *State, taken map[string]bool) string {
	best, least := "", w.spans.len()
	for _, name := range slices.Sorted(maps.Keys(have.sets)) {
		h := have.sets[name]
		if taken[name] || h.kind != w.kind {
			continue
		}
		if differ := h.spans.len() - w.spans.len(); max(differ, -differ) >= least { // at least so many are sent
			continue
		}
		add, del := delta(h.spans, w.spans)
		if n := add.len() + del.len(); n < least {
			best, least = name, n
		}
	}
	return best
}

// diffChains compares the rules of each chain as expressions.
func (c *Change) diffChains(have *State, want *Ruleset, renamed map[*set]string) {
	var kept []string
	for _, w := range want.chains {
		h := have.chains[w.name]
		if h == nil {
			c.chains = append(c.chains, w)
			h = &heldChain{}
		}
		kept = append(kept, w.name)
		rules := make([]encodedRule, len(w.rules))
		for i, r := range w.rules {
			rules[i] = r.encode(renamed)
		}
		if !slices.EqualFunc(h.rules, rules, sameRule) {
			c.refill = append(c.refill, refill{w.name, rules})
		}
	}
	c.old.chains = surplus(have.chains, kept)
}

func sameRule(have heldRule, want encodedRule) bool {
	return bytes.Equal(have.userdata, want.userdata) && sameList(have.expressions, want.expressions)
}

// surplus returns what is held and not wanted, sorted.
func surplus[V any](held map[string]V, want []string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(held)) {
		if !slices.Contains(want, name) {
			out = append(out, name)
		}
	}
	return out
}

// elementsOnly reports whether the change leaves everything but elements alone.
func (c *Change) elementsOnly() bool {
	return !c.anew && len(c.sets)+len(c.counters)+len(c.chains)+len(c.refill) == 0 &&
		len(c.old.chains)+len(c.old.sets)+len(c.old.counters) == 0
}

// kept are the sets that were there before the change, as it leaves them.
func (c *Change) kept() map[string]*set {
	kept := maps.Clone(c.after)
	for _, s := range c.sets {
		delete(kept, s.name)
	}
	return kept
}
