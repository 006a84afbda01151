package rollout_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ropeway/internal/rollout"
	"ropeway/internal/stories"
)

var update = flag.Bool("update", false, "write what the stories expect")

// Each story has candidates, a line each ("NAME PLACE connected concerned weight=3", all but the two names optional), and what happens to revision 7
// on base 6, a line each. After each line it tells what came of it.
//
//	NAME CONDITION WHY…   somebody sees that of a gateway
//	age NAME              the wave is so old
//	judge                 a controller judges, and takes the step that follows
//	pause, resume, abort  somebody asks for it
func TestStories(t *testing.T) {
	stories.Each(t, "testdata/*.txtar", *update, func(t *testing.T, story *stories.Story) {
		var w *world
		var out strings.Builder
		for _, f := range story.Files {
			switch f.Name {
			case "candidates":
				w = newWorld(t, string(f.Data))
				fmt.Fprintf(&out, "waves %v, and %d more: %s\n", w.Waves, w.Rest, w.admitted())
			case "happens":
				for line := range strings.Lines(string(f.Data)) {
					fmt.Fprintf(&out, "%s → %s\n", strings.TrimSpace(line), w.happen(strings.Fields(line)))
				}
			}
		}
		story.Want(t, "want", out.String())
	})
}

type world struct {
	rollout.Rollout
	t    *testing.T
	all  []rollout.Candidate
	sees map[string]rollout.Sight
	age  rollout.Age
}

func newWorld(t *testing.T, text string) *world {
	w := &world{t: t, sees: map[string]rollout.Sight{}}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		c := rollout.Candidate{Name: words[0], Place: words[1]}
		for _, word := range words[2:] {
			switch {
			case word == "connected":
				c.Connected = true
				w.sees[c.Name] = rollout.Sight{Condition: rollout.Waiting, Why: "it does not have the plan yet"}
			case word == "concerned":
				c.Concerned = true
			default:
				if _, err := fmt.Sscanf(word, "weight=%d", &c.Weight); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.all = append(w.all, c)
	}
	w.Rollout = rollout.New(7, 6, w.all)
	return w
}

// admitted lists the gateways that may have the new revision.
func (w *world) admitted() string {
	var out []string
	for _, c := range w.all {
		if c.Concerned && w.Admits(c.Name) {
			out = append(out, c.Name)
		}
	}
	text := fmt.Sprintf("%s, wave %d of %d, follow the newest: %v", w.State, w.Wave+1, w.Total(), out)
	if len(w.Away) > 0 {
		text += fmt.Sprintf(", away: %v", w.Away)
	}
	if w.Why != "" {
		text += ", because " + w.Why
	}
	return text
}

// given is what is seen of those who have the new revision.
func (w *world) given() map[string]rollout.Sight {
	out := map[string]rollout.Sight{}
	for _, c := range w.all {
		if c.Concerned && w.Admits(c.Name) {
			out[c.Name] = w.sees[c.Name]
		}
	}
	return out
}

// unseen lists those of a wave of whom nobody hears.
func (w *world) unseen(wave int) (away []string) {
	for _, c := range w.all {
		if c.Concerned && w.WaveOf(c.Name) == wave && w.sees[c.Name].Condition == rollout.Unseen {
			away = append(away, c.Name)
		}
	}
	slices.Sort(away)
	return away
}

var ages = map[string]rollout.Age{"young": rollout.Young, "settled": rollout.Settled, "grown": rollout.Grown, "old": rollout.Old}

func (w *world) happen(words []string) string {
	switch words[0] {
	case "age":
		w.age = ages[words[1]]
		return words[1]
	case "judge":
		return w.judge()
	case "pause":
		return w.take(w.Pause())
	case "resume":
		return w.take(w.Resume())
	case "abort":
		return w.take(w.GoneBack(rollout.Aborted, 9, strings.Join(words[1:], " ")))
	}
	s := rollout.Sight{Why: strings.Join(words[2:], " ")}
	if words[1] != "unseen" {
		s.Condition = rollout.Condition(words[1])
	}
	w.sees[words[0]] = s
	return "seen"
}

func (w *world) judge() string {
	switch v := w.Judge(w.age, w.given()); {
	case v.Failed != "":
		return w.take(w.GoneBack(rollout.Failed, 8, v.Failed))
	case v.Passed:
		return w.take(w.Next(w.unseen(w.Wave + 1)))
	}
	return "waits"
}

func (w *world) take(next rollout.Rollout, err error) string {
	if err != nil {
		return err.Error()
	}
	if err := next.Check(); err != nil {
		w.t.Errorf("a step makes what Check refuses: %v", err)
	}
	w.Rollout, w.age = next, rollout.Young
	return w.admitted()
}
