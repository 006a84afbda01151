package rollout

import (
	"fmt"
	"slices"
	"strings"
)

// An Age says how long a wave has been out there, as far as whoever judges knows.
type Age int

// The ages of a wave, each with what nobody waits for any more.
const (
	Young   Age = iota // everybody may need a moment
	Settled            // who was away when the wave was admitted is not coming
	Grown              // who has the plan and is not well with it has had time to become so
	Old                // who got it and is not heard of, or does not come to an end with it, has had time for that
)

// A Condition is how a gateway is with what it was given.
type Condition string

// The conditions.
const (
	Unseen   Condition = ""         // nobody hears of it
	Waiting  Condition = "waiting"  // it is connected, and is not there yet
	Broken   Condition = "broken"   // it is as the plan says, and something does not work any more, or it cannot become so
	Ready    Condition = "ready"    // it is as the plan says, well, and reaches whom it reached before
	Reverted Condition = "reverted" // it went back by itself: with this plan it found no controller
)

// A Sight is what somebody knows of a gateway that was admitted.
type Sight struct {
	Condition Condition
	Why       string // of Waiting, Broken and Reverted
}

// A Verdict is what is to happen. Where it is neither Passed nor Failed, it is to be waited.
type Verdict struct {
	Passed bool
	Failed string // why; "" where nothing failed
}

// Judge says of the waves that were admitted what is to happen. sights has everybody who was given something by this rollout; of those of whom
// nobody hears it has Unseen.
func (r *Rollout) Judge(age Age, sights map[string]Sight) Verdict {
	if r.State != Running {
		return Verdict{}
	}
	var failed []string
	waits := false
	for name, s := range sights {
		switch why, wait := r.judge(name, s, age); {
		case why != "":
			failed = append(failed, "gateway "+name+" "+why)
		case wait:
			waits = true
		}
	}
	if len(failed) > 0 {
		slices.Sort(failed)
		return Verdict{Failed: few(failed)}
	}
	return Verdict{Passed: !waits}
}

// judge says why a gateway makes the rollout fail, or whether it has to be waited for.
func (r *Rollout) judge(name string, s Sight, age Age) (failed string, wait bool) {
	switch s.Condition {
	case Ready:
		return "", false
	case Reverted:
		return "went back by itself: " + s.Why, false
	case Broken:
		if age >= Grown {
			return s.Why, false
		}
	case Waiting:
		if age >= Old {
			return "is not there in time: " + s.Why, false
		}
	case Unseen:
		absent := slices.Contains(r.Away, name)
		if absent && age >= Settled {
			return "", false // it gets what it missed when it is back
		}
		if !absent && age >= Old {
			return "was given the plan and is not heard of since", false
		}
	}
	return "", true
}

// few names the first of many.
func few(all []string) string {
	const most = 3
	if len(all) <= most {
		return strings.Join(all, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(all[:most], "; "), len(all)-most)
}
