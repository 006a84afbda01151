// Package reach says what a change of plan does to people: which addresses gain a path, lose one, or are led another way. It is
// pure.
//
// Two provers, one for each plan, are asked about the same packets. Which packets those are follows from the access of both
// files: their prefixes and services cut each other into pieces that both plans treat alike throughout. Pieces of a place that neither prover tells
// apart are one group, and one packet stands for each combination of groups and services. What shares a fate is reported together.
package reach

import (
	"iter"
	"net/netip"
	"sync"

	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/verify"
)

// maxPairs bounds how many pairs of groups are asked about. Above it, one group of each family stands for each place in pairs of places of which
// both files say the same, and Diff.Partial says so. At some two microseconds a pair it is a matter of seconds.
const maxPairs = 2_000_000

// mostListed is how many changes of each action are listed before the rest is counted. Whoever writes the first plan of a thousand places
// gains a million paths; a loss among them must not go missing.
const mostListed = 10_000

// A Side is a fabric file and the prover of its plan.
type Side struct {
	Intent *intent.Fabric
	Model  *verify.Model
}

// asker returns who answers for a side, or nil for the zero value, which reaches nothing.
func (s Side) asker() *verify.Asker {
	if s.Model == nil {
		return nil
	}
	return s.Model.Asker(s.Intent)
}

// A Diff is what a change does to reachability. No changes means that every packet goes as before.
type Diff struct {
	Changes []Change            `json:"changes"`           // by places, then what they concern
	Omitted map[plan.Action]int `json:"omitted,omitempty"` // how many more there are of an action that has 10,000 in Changes
	Partial bool                `json:"partial,omitempty"`
}

// A Change is one fate that many packets share.
type Change struct {
	Action       plan.Action    `json:"action"`
	From         string         `json:"from"` // a place
	To           string         `json:"to"`   // a place
	Sources      []netip.Prefix `json:"sources"`
	Destinations []netip.Prefix `json:"destinations"`
	Services     []string       `json:"services"`         // "tcp/443", "any protocol", "other protocols"
	Before       *Way           `json:"before,omitempty"` // nil: no packet got through
	After        *Way           `json:"after,omitempty"`  // nil: no packet gets through
}

// A Way is how packets go, and how their answers come back.
type Way struct {
	Forward   []string `json:"forward"` // gateways
	MTU       int      `json:"mtu"`     // largest inner packet, in bytes
	Return    []string `json:"return"`
	ReturnMTU int      `json:"returnMTU"` // 0: no answer comes back
}

// Compare asks both sides; before may be the zero value, which reaches nothing.
func Compare(before, after Side) *Diff { return compare(before, after, maxPairs) }

func compare(before, after Side, most int) *Diff {
	both := newAccess(before, after)
	d := &Diff{Changes: []Change{}, Omitted: map[plan.Action]int{}, Partial: both.large(most)}
	listed := map[plan.Action]int{}
	workers := [...]*pair{newPair(before, after), newPair(before, after)}
	for batch := range both.questions() {
		for i := range batch {
			if q := &batch[i]; d.Partial && (!q.changed || before.Intent == nil) {
				q.sources, q.destinations = firsts(q.sources), firsts(q.destinations)
			}
		}
		for c := range bySource(batch, ask(batch, workers[:])) {
			if listed[c.Action]++; listed[c.Action] <= mostListed {
				d.Changes = append(d.Changes, c)
			} else {
				d.Omitted[c.Action]++
			}
		}
	}
	return d
}

// large reports whether there are more pairs to ask about than one waits for.
func (a *access) large(most int) bool {
	n := 0
	for batch := range a.questions() {
		for i := range batch {
			if n += batch[i].size(); n > most {
				return true
			}
		}
	}
	return false
}

// ask shares some questions out among workers, and returns what changes by question.
func ask(questions []question, workers []*pair) [][]Change {
	out := make([][]Change, len(questions))
	each := (len(questions) + len(workers) - 1) / len(workers)
	var asking sync.WaitGroup
	for i, p := range workers {
		first, end := min(i*each, len(questions)), min((i+1)*each, len(questions))
		asking.Go(func() {
			for k := first; k < end; k++ {
				out[k] = p.compare(&questions[k])
			}
		})
	}
	asking.Wait()
	return out
}

// bySource yields the changes of a batch of questions in the order of their sources. They come in that of their destinations.
func bySource(questions []question, changes [][]Change) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for source := range breadth {
			for i, list := range changes {
				if questions[i].source != source {
					continue
				}
				for _, c := range list {
					if !yield(c) {
						return
					}
				}
			}
		}
	}
}
