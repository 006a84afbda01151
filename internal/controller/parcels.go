package controller

import (
	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/grant"
	"ropeway/internal/plan"
)

// parcels returns what has to be put into the outbox to come from one revision to another: the compiler hands back the very plan of a gateway that
// did not change, so a comparison of pointers tells.
func (c *Controller) parcels(was, now *fabric) map[string]*parcel {
	before := map[string]*plan.Gateway{}
	if was.plan != nil {
		for _, g := range was.plan.Gateways {
			before[g.Name] = g
		}
	}
	out := map[string]*parcel{}
	for _, g := range now.plan.Gateways {
		if before[g.Name] != g {
			out[g.Name] = newParcel(now.number, func() (*ropewayv1.SignedGrant, error) { return c.wrap(now, g) })
		}
		delete(before, g.Name)
	}
	for name := range before {
		out[name] = nil // it left the fabric: it keeps what it has until somebody takes it down
	}
	return out
}

// wrap signs the plan of a gateway.
func (c *Controller) wrap(f *fabric, g *plan.Gateway) (*ropewayv1.SignedGrant, error) {
	document, err := plan.Encode(f.plan.Name, g)
	if err != nil {
		return nil, err
	}
	return grant.Sign(c.opts.Authority.Signer(), &ropewayv1.Grant{Fabric: f.plan.Name, Gateway: g.Name, Epoch: f.number, Plan: document})
}
