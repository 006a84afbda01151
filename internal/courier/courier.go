// Package courier brings a gateway's plans from a controller to the file that its agent reads, and tells the controller what became of them.
//
// Agent and courier share that file and nothing else: whether a plan came by courier or by hand is the same to the agent, and it goes on without
// either. What the courier brings was signed for this very gateway by the authority that it was enrolled with, at a higher epoch than all before.
// The signed grant is on disk before the plan is, so no restart forgets which epoch was followed.
//
// A plan can cut a gateway off from its controllers, and then nobody could mend it. So every plan is on trial until a controller confirms it (trial.go),
// and the gateway goes back by itself from one that none does.
package courier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/diag"
	"ropeway/internal/failpoint"
	"ropeway/internal/files"
	"ropeway/internal/grant"
	"ropeway/internal/member"
	"ropeway/internal/plan"
)

// Names in the state directory.
const (
	memberName = "member.json"
	grantName  = "grant.pb"
	planName   = "granted.json"
)

// MemberFile returns where the membership of a gateway stands.
func MemberFile(state string) string { return filepath.Join(state, memberName) }

// PlanFile returns where the courier puts plans.
func PlanFile(state string) string { return filepath.Join(state, planName) }

// How long the courier waits for a controller.
const (
	silence  = 35 * time.Second // three heartbeats and a half: nobody is there
	restMin  = 200 * time.Millisecond
	restMost = 15 * time.Second
)

// Options of a Courier.
type Options struct {
	State  string        // the agent's state directory
	Status func() Status // what the agent knows of its machine
	// Reach returns those of some gateways that answer through their tunnels now; nil stands for everybody who has a session. It may be nil itself.
	Reach         func(ctx context.Context, gateways []string) ([]string, error)
	Errands       Errands       // what it does for people; nil: nothing
	ConfirmWithin time.Duration // 0: ConfirmWithin
	StaleAfter    time.Duration // 0: StaleAfter
	Log           *slog.Logger
}

// A Courier serves one gateway. Make it with New.
type Courier struct {
	opts   Options
	member *member.Member
	log    *slog.Logger

	writing sync.Mutex // held by who writes in the state directory; before mu

	mu       sync.Mutex // guards what follows: the one who brings writes it, the one who reports reads it
	held     grant.Verifier
	kept     uint64    // epoch of the plan that was brought last; 0: none. It is lower than the one held after the gateway went back
	grant    []byte    // of that plan, as grant.pb holds it; changes while writing is held, too
	revision string    // of that plan
	show     bool      // a controller asked for the grant that is held; only the one who brings looks at it
	applied  uint64    // the highest epoch that the machine was made to be
	trial    *trial    // of that plan, or of the one that the gateway went back from; nil: none
	heard    time.Time // when the trial began, or a controller took a report since
	contact  time.Time // when a controller was heard
	touched  time.Time // when that was written down
	reach    reach
	peers    map[string]bool         // of that plan: whether their keys are known
	met      map[string]bool         // of those: who has answered through their tunnels
	silent   []string                // and does not now
	unread   *unread                 // a grant that was not followed because its plan cannot be read; nil: there is none
	ending   context.CancelCauseFunc // ends the conversation under way; nil: there is none
}

// Status is what an agent knows of its machine.
type Status struct {
	Applied string // the revision that the machine was last found to be in full
	Healthy bool
	Message string
	Drift   []*ropewayv1.Drift // what was not as the plan said, the newest first
	Routing *ropewayv1.Routing // nil where routes are static; the same value as long as nothing is to be told. Nobody changes it
}

// New returns a courier for a gateway that was enrolled, or member.ErrMissing.
func New(opts Options) (*Courier, error) {
	m, err := member.Load(MemberFile(opts.State))
	if err != nil {
		return nil, err
	}
	opts.ConfirmWithin, opts.StaleAfter = cmp.Or(opts.ConfirmWithin, ConfirmWithin), cmp.Or(opts.StaleAfter, StaleAfter)
	c := &Courier{opts: opts, member: m, log: opts.Log, met: map[string]bool{}}
	c.held = grant.Verifier{Authority: m.Authority, Fabric: m.Fabric, Gateway: m.Name()}
	c.recall()
	if err := c.remember(); err != nil {
		return nil, fmt.Errorf("find the plan that was followed last: %w", err)
	}
	return c, nil
}

// Run brings plans until ctx ends. That no controller is there is no reason to end.
func (c *Courier) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { c.guard(ctx) })
	if c.opts.Reach != nil {
		all.Go(func() { c.probe(ctx) })
		all.Go(func() { c.listen(ctx) })
	}
	rest := restMin
	server := ""
	for ctx.Err() == nil {
		server = c.member.Next(server)
		heard, err := c.attend(ctx, server)
		if ctx.Err() != nil {
			return
		}
		if heard {
			rest = restMin
		}
		c.log.Warn("no controller; the gateway goes on as it is", "server", server, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(rest/2 + rand.N(rest)): //nolint:gosec // no secret: a thousand gateways shall not come back in one instant
		}
		rest = min(2*rest, restMost)
	}
}

// attend serves with one controller until that fails, and reports whether it said anything.
func (c *Courier) attend(ctx context.Context, server string) (heard bool, err error) {
	if err := c.renew(ctx, server); err != nil {
		c.log.Warn("the certificate was not renewed", "error", err)
	}
	http, err := c.member.HTTP(server)
	if err != nil {
		return false, err
	}
	defer http.CloseIdleConnections()
	stream, err := c.member.Stream(server)
	if err != nil {
		return false, err
	}
	defer stream.CloseIdleConnections()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	c.mu.Lock()
	c.ending = end
	c.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	client := ropewayv1connect.NewGatewayServiceClient(http, server)
	group.Go(func() error { return c.report(ctx, client) })
	group.Go(func() error {
		return c.watch(ctx, ropewayv1connect.NewGatewayServiceClient(stream, server), newRunner(c.opts.Errands, client), &heard)
	})
	err = group.Wait()
	return heard, err
}

// watch takes what a controller sends. It ends where the controller falls silent, and where it is time for another certificate.
func (c *Courier) watch(ctx context.Context, client ropewayv1connect.GatewayServiceClient, errands *runner, heard *bool) error {
	defer errands.wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := client.Watch(ctx, c.hello())
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	quiet := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer quiet.Stop()
	for stream.Receive() {
		*heard = true
		c.hear()
		quiet.Reset(silence)
		if stream.Msg().GetBehind() {
			c.show = true
			return errBehind
		}
		if signed := stream.Msg().GetGrant(); signed != nil {
			if err := c.take(ctx, signed); err != nil {
				c.log.Error("a grant is not followed", "error", err)
			}
		}
		if errand := stream.Msg().GetErrand(); errand != nil {
			errands.begin(ctx, errand, func(err error) { c.log.Info("nobody takes the answer to an errand", "error", err) })
		}
		if c.member.Aging(time.Now()) {
			return errAging
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return errors.Join(errEnded, stream.Err())
}

// Why a conversation with a controller ends.
var (
	errSilent = errors.New("the controller says nothing any more")
	errAging  = errors.New("it is time for another certificate")
	errEnded  = errors.New("the controller ended the conversation")
	errBehind = errors.New("the controller knows of less than was followed; it shall see the grant")
)

func (c *Courier) epoch() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held.Epoch
}

// asks is what the gateway tells a controller whom it begins to watch.
func (c *Courier) asks() *ropewayv1.WatchRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &ropewayv1.WatchRequest{Epoch: c.held.Epoch, RevertedEpoch: c.trial.reverted(), PlanFormat: plan.Format, Errands: c.opts.Errands != nil}
}

// A followed is a grant that is to be followed, or was.
type followed struct {
	epoch    uint64
	plan     []byte // the document
	revision string // of the plan
	peers    map[string]bool
	data     []byte // the signed grant, encoded
}

// take follows a grant. What is not to be followed leaves nothing behind.
func (c *Courier) take(ctx context.Context, signed *ropewayv1.SignedGrant) error {
	c.mu.Lock()
	held := c.held
	c.mu.Unlock()
	held.Now = uint64(time.Now().Unix())
	next, err := open(held, signed)
	if err != nil {
		c.noteUnread(err)
		return err
	}
	if next.data, err = proto.Marshal(signed); err != nil {
		return err
	}
	reached := c.reached(ctx, next)
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.begin(next, reached); err != nil {
		return err
	}
	if err := files.Replace(c.statePath(grantName), next.data, 0o600); err != nil {
		return fmt.Errorf("keep the grant: %w", err)
	}
	failpoint.After("grant")
	return c.deliver(next)
}

// open returns a grant that is to be followed.
func open(held grant.Verifier, signed *ropewayv1.SignedGrant) (*followed, error) {
	g, err := held.Open(signed)
	if err != nil {
		return nil, err
	}
	doc, err := plan.Decode(g.GetPlan())
	if err != nil {
		return nil, &unread{g.GetEpoch(), err}
	}
	if doc.Gateway.Name != g.GetGateway() || doc.Fabric != g.GetFabric() {
		return nil, fmt.Errorf("the grant's plan is for gateway %s of fabric %s", doc.Gateway.Name, diag.Quote(doc.Fabric))
	}
	f := &followed{epoch: g.GetEpoch(), plan: g.GetPlan(), revision: doc.Revision, peers: map[string]bool{}}
	for i := range doc.Gateway.Devices {
		for _, p := range doc.Gateway.Devices[i].Peers {
			f.peers[p.Gateway] = !p.PublicKey.IsZero()
		}
	}
	return f, nil
}

// deliver puts the plan of a grant where the agent reads it. It need not outlive a power cut: the grant does, and every start delivers its plan.
func (c *Courier) deliver(f *followed) error {
	if err := files.Hand(PlanFile(c.opts.State), f.plan, 0o600); err != nil {
		return fmt.Errorf("hand the plan over: %w", err)
	}
	failpoint.After("plan")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held.Epoch, c.kept, c.grant, c.revision = max(c.held.Epoch, f.epoch), f.epoch, f.data, f.revision
	c.reach = reach{epoch: f.epoch}
	c.turnTo(f.peers)
	if c.unread != nil && c.unread.epoch < f.epoch {
		c.unread = nil
	}
	if c.trial != nil && c.trial.Epoch == f.epoch {
		c.reach.before = c.trial.Reached
	}
	c.log.Info("a plan was brought", "epoch", f.epoch, "revision", f.revision)
	return nil
}
