package controller

import (
	"runtime"

	"golang.org/x/sync/errgroup"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/grant"
	"ropeway/internal/plan"
)

// parcels returns what has to be put into the outbox to come from what gateways were to have to what they are to have now. Who is to have the same
// finds the same parcel: mostly the compiler hands back the very plan of a gateway that did not change, and where it compiled something else in
// between, a comparison of what is there tells. Where numbers have jumped past what gateways may hold, or what lapsed does so no more, all plans are
// handed out anew.
func (c *Controller) parcels(was, now *present) map[string]*parcel {
	out := map[string]*parcel{}
	withheld := c.withheld(was, now)
	for name := range now.gateways() {
		f, g := now.follows(name)
		last, before := was.follows(name)
		switch {
		case withheld[f]: // it keeps what it has
		case last.past == f.past && last.seal.Until == f.seal.Until && plan.Same(before, g) && !withheld[last]:
		case g == nil:
			out[name] = nil // it comes with the newest revision, and may not have that yet
		default:
			out[name] = newParcel(f.number, plan.FormatOf(g), c.wrapping(f, g))
		}
	}
	for name := range was.gateways() {
		if _, g := now.follows(name); g == nil {
			out[name] = nil // it left the fabric: it keeps what it has until somebody takes it down
		}
	}
	return out
}

// wrapping returns what makes the grant of a gateway. It does not hold on to the whole of its fabric, which it may outlast.
func (c *Controller) wrapping(f *fabric, g *plan.Gateway) func() (*ropewayv1.SignedGrant, error) {
	if c.desk.outside() {
		tree, err := f.grants()
		signature := f.seal.Signature
		return func() (*ropewayv1.SignedGrant, error) {
			if err != nil {
				return nil, err
			}
			return tree.Wrap(g, signature)
		}
	}
	name, number := f.plan.Name, f.number
	return func() (*ropewayv1.SignedGrant, error) { return c.wrap(name, number, g) }
}

// withheld returns the revisions that gateways would not follow, since nobody signed them as they are compiled here.
func (c *Controller) withheld(all ...*present) map[*fabric]bool {
	out := map[*fabric]bool{}
	if !c.desk.outside() {
		return out
	}
	for _, p := range all {
		for _, f := range []*fabric{p.newest, p.base} {
			if f != nil && f.plan != nil && c.desk.checkSeal(f) != nil {
				out[f] = true
			}
		}
	}
	return out
}

// wrap signs the plan of a gateway.
func (c *Controller) wrap(fabric string, number uint64, g *plan.Gateway) (*ropewayv1.SignedGrant, error) {
	document, err := plan.Encode(fabric, g)
	if err != nil {
		return nil, err
	}
	return grant.Sign(c.opts.Authority.Signer(), &ropewayv1.Grant{Fabric: fabric, Gateway: g.Name, Epoch: number, Plan: document})
}

// A preparation is what will be put into the outbox once a change is committed: signed and encoded while it is not, because whoever waits for a plan waits
// from then on. Where the change comes too late, it was made for nothing and is never shown to anybody.
type preparation struct {
	was, now *present
	parcels  map[string]*parcel
}

// prepare makes the preparation of a change for the gateways that are connected.
func (c *Controller) prepare(was, now *present) {
	made := preparation{was, now, c.parcels(was, now)}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for gateway, p := range made.parcels {
		if p != nil && c.outbox.connected(gateway) {
			group.Go(func() error { _, err := p.encode(); return err })
		}
	}
	if err := group.Wait(); err != nil {
		c.log.Error("a plan cannot be signed", "error", err) // whoever hands it out finds that, too
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.prepared = made
}

// step returns what has to be put into the outbox: what was prepared, if it was.
func (c *Controller) step(was, now *present) map[string]*parcel {
	c.mu.Lock()
	made := c.prepared
	c.prepared = preparation{}
	c.mu.Unlock()
	if made.was == was && made.now.sameStep(now) {
		return made.parcels
	}
	return c.parcels(was, now)
}
