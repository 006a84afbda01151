package controller

import (
	"sync"
	"time"

	"ropeway/internal/audit"
)

// A blotter collects what the audit log says beside changes: refusals and renewals. A change writes its own entry, in its own transaction; what
// changed nothing must not be able to fill the store, so here everybody has an allowance. What goes beyond it is counted, and the counts are
// written from time to time. All who show no certificate are one somebody: a stranger does not get more by coming from many addresses.
type blotter struct {
	mu       sync.Mutex
	ready    []audit.Entry         // to be written
	accounts map[string]*allowance // by who: as many as ever were members, at most
	wake     chan struct{}
}

// What one somebody may have written: ten entries at once and six an hour after that, and of the rest nine counts every ten minutes. A stranger
// who does his worst makes 1,450 entries a day, half a megabyte, until somebody notices.
const (
	burst       = 10
	refill      = 10 * time.Minute // for one more entry
	countFor    = 10 * time.Minute // before a count is written
	mostCounts  = 8                // kinds that are told apart; the rest is one more
	mostWaiting = 1000             // entries that wait for a store that does not answer
)

// An allowance is what is left to one, and what is counted of him.
type allowance struct {
	left   int
	since  time.Time // when left was true
	counts map[kind]*audit.Entry
}

// A kind is what is counted together.
type kind struct {
	what, code string
	outcome    audit.Outcome
}

func newBlotter() *blotter {
	return &blotter{accounts: map[string]*allowance{}, wake: make(chan struct{}, 1)}
}

// note takes in an entry, whose time is now.
func (b *blotter) note(e audit.Entry, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.At = now.UnixMilli()
	a := b.accounts[e.Who]
	if a == nil {
		a = &allowance{left: burst, since: now, counts: map[kind]*audit.Entry{}}
		b.accounts[e.Who] = a
	}
	a.earn(now)
	if a.left == 0 || len(b.ready) >= mostWaiting {
		a.count(e)
		return
	}
	a.left--
	b.ready = append(b.ready, e)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// earn adds what became due.
func (a *allowance) earn(now time.Time) {
	due := int(now.Sub(a.since) / refill)
	if due <= 0 {
		return
	}
	a.since = a.since.Add(time.Duration(due) * refill)
	if a.left += due; a.left >= burst {
		a.left, a.since = burst, now
	}
}

// count adds an entry to the one that stands for its kind.
func (a *allowance) count(e audit.Entry) {
	k := kind{e.What, e.Code, e.Outcome}
	if a.counts[k] == nil && len(a.counts) >= mostCounts {
		k = kind{what: "call.several", outcome: audit.Refused}
		e.What, e.Object, e.Code, e.Outcome, e.Detail = k.what, "", "", k.outcome, "of several kinds"
	}
	sum := a.counts[k]
	if sum == nil {
		e.Count, e.Until = 1, e.At
		a.counts[k] = &e
		return
	}
	if sum.Object != e.Object {
		sum.Object = ""
	}
	if sum.From != e.From || sum.Detail != e.Detail {
		sum.From, sum.Detail = e.From, "among others, the last: "+e.Detail
	}
	sum.Count, sum.Until = sum.Count+1, e.At
}

// take returns what is to be written now: at the end, everything.
func (b *blotter) take(now time.Time, end bool) []audit.Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.ready
	b.ready = nil
	for who, a := range b.accounts {
		for k, sum := range a.counts {
			if end || now.UnixMilli()-sum.At >= countFor.Milliseconds() {
				out = append(out, *sum)
				delete(a.counts, k)
			}
		}
		if a.earn(now); a.left == burst && len(a.counts) == 0 {
			delete(b.accounts, who)
		}
	}
	return out
}

// back returns what could not be written.
func (b *blotter) back(entries []audit.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready = append(entries, b.ready...)
}
