package controller

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"ropeway/internal/authority"
	"ropeway/internal/sink"
	"ropeway/internal/store"
)

// Options of a Controller.
type Options struct {
	Fabric    string          // the one that it keeps
	Listen    string          // where gateways and people connect, such as ":8443"
	Name      string          // of this controller among others, a DNS label
	At        authority.Hosts // what they call it, for its certificate
	Store     *store.Store
	Authority *authority.Authority
	Log       *slog.Logger
	Now       func() time.Time // nil: time.Now
	Waves     Waves            // how long those of a rollout take, where nobody says

	// What concerns several controllers, and backups.
	URL        string                           // where clients reach this one, https://HOST:PORT; "": it is not announced
	PeerURL    string                           // where other controllers reach its embedded store; "": nowhere, so none can join
	Bundle     func() (authority.Bundle, error) // the authority as another controller or a backup gets it
	Recipients []age.Recipient                  // who can read backups

	Sinks     []sink.Sink // where the audit log goes as well
	Bookmarks string      // a directory that is there, for how far each came
}

// A Controller serves one store. Make it with New.
type Controller struct {
	opts    Options
	log     *slog.Logger
	desk    *desk
	outbox  *outbox
	errands *errands
	roster  *store.Roster // from Run on
	lines   *lines        // from Run on
	book    *book

	addresses addressBook
	elsewhere overview // gateways that are connected to other controllers
	started   time.Time
	latest    atomic.Uint64 // the newest revision that was handed out
	pulse     *pulse

	mu       sync.Mutex
	reported map[string]report // by gateway
	sent     map[string]uint64 // by gateway: the epoch that this process sent it last
	refused  map[string]uint64 // by gateway: the epoch that it went back from, although this process was there
	owed     map[string]uint64 // by gateway: the epoch that somebody wants it to try again
	prepared preparation

	rolling *rolling

	meters meters
}

// New returns a controller. It touches nothing.
func New(opts Options) *Controller {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	c := &Controller{
		opts: opts, log: opts.Log, started: opts.Now(), desk: newDesk(opts.Fabric, opts.Store), outbox: newOutbox(), errands: newErrands(), reported: map[string]report{}, meters: meters{all: map[string]*meter{}},
		pulse: newPulse(),
		sent:  map[string]uint64{}, refused: map[string]uint64{}, owed: map[string]uint64{}, rolling: newRolling(opts.Waves),
		book: &book{store: opts.Store, blotter: newBlotter(), log: opts.Log, now: opts.Now},
	}
	c.desk.ready, c.desk.planKey = c.prepare, planKeyOf(&opts)
	c.outbox.changed = c.pulse.beat
	return c
}

// Run serves until ctx ends. Gateways go on without it.
func (c *Controller) Run(ctx context.Context) error {
	if err := c.openBook(); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	lines, err := newLines(ctx, c)
	if err != nil {
		return err
	}
	c.lines = lines
	c.roster = c.opts.Store.NewRoster(ctx, func(identity string) {
		c.outbox.nudge(strings.TrimPrefix(identity, gatewayPrefix))
		c.pulse.beat()
	})
	group.Go(lines.run)
	group.Go(func() error { return c.serve(ctx) })
	group.Go(func() error { return c.follow(ctx) })
	group.Go(func() error { c.roll(ctx); return nil })
	group.Go(func() error { return c.announce(ctx) })
	group.Go(func() error { return c.share(ctx) })
	group.Go(func() error { return c.keepHouse(ctx) })
	group.Go(func() error { return c.guard(ctx) })
	group.Go(func() error { return c.book.keepLog(ctx) })
	group.Go(func() error { return c.book.keepBlotter(ctx) })
	for _, s := range c.opts.Sinks {
		f := &forwarder{book: c.book, sink: s, dir: c.opts.Bookmarks}
		group.Go(func() error { return f.run(ctx) })
	}
	return group.Wait()
}

// follow puts into the outbox what gateways are to have, whenever that changes. A revision that cannot be compiled here is told and left to the
// next one: gateways keep what they have.
func (c *Controller) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	newest, steps := c.opts.Store.WatchNewest(ctx, 0), c.opts.Store.WatchRollout(ctx, 0)
	last := &present{newest: &fabric{}}
	for more := true; more; {
		now, err := c.desk.present(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			c.log.Error("what gateways are to have cannot be handed out", "error", err)
		case err == nil && now != last:
			c.outbox.put(c.step(last, now))
			c.pulse.beat()
			if now.newest.number != last.newest.number {
				c.tellOf(now.newest)
			}
			last = now
			c.latest.Store(now.newest.number)
			c.rolling.turnTo(now)
		}
		select {
		case _, more = <-newest:
		case _, more = <-steps:
		case <-retryOf(err):
		}
	}
	if ctx.Err() == nil {
		return fmt.Errorf("the store no longer tells of revisions")
	}
	return nil
}

// tellOf says that a revision is handed out, or why it is not.
func (c *Controller) tellOf(f *fabric) {
	if c.desk.outside() {
		if err := c.desk.checkSeal(f); err != nil {
			c.log.Error("a revision is not handed out", "revision", f.number, "error", err)
			return
		}
	}
	c.log.Info("handing out", "revision", f.number)
}

// retryOf returns a channel that tells when to try again what failed; nil, which never tells, where nothing did.
func retryOf(err error) <-chan time.Time {
	if err == nil {
		return nil
	}
	return time.After(time.Second)
}
