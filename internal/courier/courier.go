// Package courier brings a gateway's plans from a controller to the file that its agent reads, and tells the controller what became of them.
//
// Agent and courier share that file and nothing else: whether a plan came by courier or by hand is the same to the agent, and it goes on without
// either. What the courier brings was signed for this very gateway by the authority that it was enrolled with, at a higher epoch than all before.
// The signed grant is on disk before the plan is, so no restart forgets which epoch was followed.
package courier

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	Log    *slog.Logger
}

// A Courier serves one gateway. Make it with New.
type Courier struct {
	opts   Options
	member *member.Member
	log    *slog.Logger

	mu       sync.Mutex // guards what follows: the one who brings writes it, the one who reports reads it
	held     grant.Verifier
	revision string // of the plan that was brought last
	show     bool   // a controller asked for the grant that is held; only the one who brings looks at it
	applied  uint64 // the highest epoch that the machine was made to be
}

// Status is what an agent knows of its machine.
type Status struct {
	Applied string // the revision that the machine was last found to be in full
	Healthy bool
	Message string
	Drift   []*ropewayv1.Drift // what was not as the plan said, the newest first
}

// New returns a courier for a gateway that was enrolled, or member.ErrMissing.
func New(opts Options) (*Courier, error) {
	m, err := member.Load(MemberFile(opts.State))
	if err != nil {
		return nil, err
	}
	c := &Courier{opts: opts, member: m, log: opts.Log}
	c.held = grant.Verifier{Authority: m.Authority, Fabric: m.Fabric, Gateway: m.Name()}
	return c, c.remember()
}

// remember reads the grant that was followed last. One that cannot be read would let an old plan come back: it is an error, which a person mends.
func (c *Courier) remember() error {
	data, err := files.Read(filepath.Join(c.opts.State, grantName), grant.MaxSize+1024)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	signed := &ropewayv1.SignedGrant{}
	if err := proto.Unmarshal(data, signed); err != nil {
		return fmt.Errorf("read the grant that was followed last: %w", err)
	}
	g, revision, err := c.open(signed)
	if err != nil {
		return fmt.Errorf("read the grant that was followed last: %w", err)
	}
	return c.deliver(g, revision) // a crash may have come between grant and plan
}

// Run brings plans until ctx ends. That no controller is there is no reason to end.
func (c *Courier) Run(ctx context.Context) {
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
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.report(ctx, ropewayv1connect.NewGatewayServiceClient(http, server)) })
	group.Go(func() error { return c.watch(ctx, ropewayv1connect.NewGatewayServiceClient(stream, server), &heard) })
	err = group.Wait()
	return heard, err
}

// watch takes what a controller sends. It ends where the controller falls silent, and where it is time for another certificate.
func (c *Courier) watch(ctx context.Context, client ropewayv1connect.GatewayServiceClient, heard *bool) error {
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
		quiet.Reset(silence)
		if stream.Msg().GetBehind() {
			c.show = true
			return errBehind
		}
		if signed := stream.Msg().GetGrant(); signed != nil {
			if err := c.take(signed); err != nil {
				c.log.Error("a grant is not followed", "error", err)
			}
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

// take follows a grant. What is not to be followed leaves nothing behind.
func (c *Courier) take(signed *ropewayv1.SignedGrant) error {
	g, revision, err := c.open(signed)
	if err != nil {
		return err
	}
	data, err := proto.Marshal(signed)
	if err != nil {
		return err
	}
	if err := files.Replace(filepath.Join(c.opts.State, grantName), data, 0o600); err != nil {
		return fmt.Errorf("keep the grant: %w", err)
	}
	return c.deliver(g, revision)
}

// open returns a grant that is to be followed, and the revision of the plan in it.
func (c *Courier) open(signed *ropewayv1.SignedGrant) (g *ropewayv1.Grant, revision string, err error) {
	if g, err = c.held.Open(signed); err != nil {
		return nil, "", err
	}
	doc, err := plan.Decode(g.GetPlan())
	if err != nil {
		return nil, "", err
	}
	if doc.Gateway.Name != g.GetGateway() || doc.Fabric != g.GetFabric() {
		return nil, "", fmt.Errorf("the grant's plan is for gateway %s of fabric %s", doc.Gateway.Name, diag.Quote(doc.Fabric))
	}
	return g, doc.Revision, nil
}

// deliver puts the plan of a grant where the agent reads it.
func (c *Courier) deliver(g *ropewayv1.Grant, revision string) error {
	if err := files.Replace(PlanFile(c.opts.State), g.GetPlan(), 0o600); err != nil {
		return fmt.Errorf("hand the plan over: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held.Epoch, c.revision = g.GetEpoch(), revision
	c.log.Info("a plan was brought", "epoch", g.GetEpoch(), "revision", revision)
	return nil
}
