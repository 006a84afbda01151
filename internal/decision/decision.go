// Package decision tells why a gateway prefers one way to a prefix over another: the first attribute in which the two differ, in the order in which plan.BGP
// says that they are compared (RFC 4271, section 9.1, with the metric of all neighbours compared).
//
// It explains and does not decide. Which way carries packets is what the routing daemon says; where that does not follow from the attributes, that is what is said.
package decision

import "fmt"

// A Path is one way to a prefix, as a gateway knows it.
type Path struct {
	Own             bool // the gateway originates the prefix itself
	LocalPreference uint32
	Hops            int // length of the AS path
	Metric          uint32
	Best            bool // it carries packets, says the daemon, alone or with others
}

// An attribute is something that paths are compared by. Its order is negative where x is better.
type attribute struct {
	order func(x, y *Path) int
	say   func(loser, winner *Path) string
}

// attributes returns them in the order in which they decide.
func attributes() []attribute {
	return []attribute{
		{func(x, y *Path) int { return number(y.Own) - number(x.Own) },
			func(_, _ *Path) string { return "the gateway has the prefix itself" }},
		{func(x, y *Path) int { return compare(uint64(y.LocalPreference), uint64(x.LocalPreference)) },
			func(l, w *Path) string {
				return fmt.Sprintf("local preference %d is lower than %d", l.LocalPreference, w.LocalPreference)
			}},
		{func(x, y *Path) int { return x.Hops - y.Hops },
			func(l, w *Path) string { return fmt.Sprintf("AS path of %d is longer than %d", l.Hops, w.Hops) }},
		{func(x, y *Path) int { return compare(uint64(x.Metric), uint64(y.Metric)) },
			func(l, w *Path) string { return fmt.Sprintf("metric %d is higher than %d", l.Metric, w.Metric) }},
	}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Compare returns which of two paths is better, negative for the first, and why the other is not; 0 and nothing where no attribute tells.
func Compare(x, y Path) (order int, why string) {
	for _, a := range attributes() {
		switch n := a.order(&x, &y); {
		case n < 0:
			return -1, a.say(&y, &x)
		case n > 0:
			return 1, a.say(&x, &y)
		}
	}
	return 0, ""
}

// Explain returns for each way that a gateway has to one prefix why it is used, or why it is not.
func Explain(paths []Path) []string {
	best, next := -1, -1 // of those that are used, and of those that are not
	used := 0
	for i, p := range paths {
		at := &next
		if p.Best {
			at = &best
			used++
		}
		if *at < 0 {
			*at = i
		} else if order, _ := Compare(p, paths[*at]); order < 0 {
			*at = i
		}
	}
	out := make([]string, len(paths))
	for i, p := range paths {
		switch {
		case best < 0:
			out[i] = "none of them is used"
		case p.Best:
			out[i] = chosen(paths, i, next, used)
		default:
			out[i] = passedOver(p, paths[best])
		}
	}
	return out
}

// chosen says why a path is used; next is the best of those that are not, used the number of those that are.
func chosen(paths []Path, i, next, used int) string {
	share := ""
	if used > 1 {
		share = fmt.Sprintf("one of %d alike; ", used)
	}
	switch {
	case paths[i].Own:
		return "originated here"
	case next < 0 && used == 1:
		return "the only way"
	case next < 0:
		return fmt.Sprintf("one of %d alike", used)
	}
	order, why := Compare(paths[i], paths[next])
	switch {
	case order < 0:
		return share + "of the next, " + why
	case order > 0:
		return share + "used though " + why
	}
	return share + "alike with the next"
}

// passedOver says why a path is not used while another is.
func passedOver(p, best Path) string {
	order, why := Compare(p, best)
	switch {
	case order > 0:
		return why
	case order < 0:
		return "not used though, of what is, " + why + ": its next hop may not be reached"
	}
	return "alike with what is used: no more are shared, or an older one stays"
}
