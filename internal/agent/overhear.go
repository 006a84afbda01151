package agent

import (
	"context"
	"time"
)

// Controllers hear how routing is without anybody asking the daemon for them: with 10,000 routes its answer is work.
const (
	overhearEvery = 5 * time.Second // a session that went without a route does not wait longer
	overhearLook  = time.Second     // how often routes are looked at, whether they changed since
)

// A Speaking is how routing was when the daemon was asked last. Nobody changes one.
type Speaking struct {
	BGPStatus
	At time.Time
}

// Speaking tells how routing is, without a look at the daemon; nil where routing is static, and until it was asked for the first time.
func (a *Agent) Speaking() *Speaking {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.record.speaking
}

// Drained returns since when an operator wants the gateway drained; nil: he does not.
func (a *Agent) Drained() *time.Time { return a.machine.drain.sinceWhen() }

// overhear keeps what Speaking tells, until ctx ends: once routes have changed, and now and then anyway.
func (a *Agent) overhear(ctx context.Context) {
	var asked, changed time.Time
	for sleep(ctx, overhearLook) {
		latest := a.burst.latest()
		if latest.Equal(changed) && time.Since(asked) < overhearEvery {
			continue
		}
		changed = latest
		if a.hearOut(ctx) {
			asked = time.Now()
		}
	}
}

// hearOut asks the daemon, and reports whether there is one to ask. Of one that does not answer stands what it said last: whether it is ill, the next pass over the
// machine finds out.
func (a *Agent) hearOut(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	found, err := a.spoken(ctx)
	if err != nil {
		a.log.Debug("how routing is cannot be told", "error", err)
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.record.speaking = nil
	want := a.record.wanted
	if want == nil || want.Gateway.BGP == nil || found == nil {
		return false
	}
	a.record.speaking = &Speaking{*bgpStatus(want.Gateway.BGP, found, nil, hearing{}), time.Now()}
	return true
}
