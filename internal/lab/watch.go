package lab

import (
	"context"
	"errors"
	"time"

	"ropeway/internal/lab/drill"
)

// A Watch is pairs of hosts that ask each other all the time, as those of a drill do, whatever is done to the lab meanwhile: work of which nobody is to notice anything is
// held against it.
type Watch struct {
	site  *site
	pulse *pulse
	pairs []drill.Pair
}

// Watch has a host of every place ask one of every other place once a period, as far as access lets it. It does not take the lab for itself, so that others can work on it.
// The caller closes it.
func (l *Lab) Watch(ctx context.Context, period time.Duration) (*Watch, error) {
	d := &rehearsal{Lab: l, report: &drill.Report{}}
	if err := d.choosePairs(); err != nil {
		return nil, err
	}
	st, err := openSite(l.Name, l.record.World)
	if err != nil {
		return nil, err
	}
	p, err := newPulse(ctx, st, d.flows, period)
	if err != nil {
		return nil, joinClose(err, st)
	}
	return &Watch{st, p, d.report.Pairs}, nil
}

// Close stops asking, waits for what is under way, and returns what became of the probes of each pair.
func (w *Watch) Close() ([]drill.Tally, error) {
	w.pulse.halt()
	time.Sleep(answerGrace)
	out := make([]drill.Tally, len(w.pairs))
	for i, p := range w.pairs {
		out[i] = drill.NewTally(p, w.pulse.probes(i, 0, w.pulse.now()), w.pulse.lost(i))
	}
	return out, errors.Join(w.pulse.Close(), w.site.Close())
}
