package controller

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync"
	"time"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/grant"
	"ropeway/internal/store"
)

// Where the key that signs plans is kept outside the controllers, a revision is one that somebody has sealed: all its grants under one signature, made
// over what he compiled and proved himself. Nothing is committed without, so a controller, or whoever has taken it over, can withhold a
// revision and do nothing else. Three things follow:
//
//	keys        that gateways bring wait, and so do those of gateways that were put out, until somebody signs again (ropeway sign);
//	going back  is sealed together with the change, for a while: the plans of the base, under the next number;
//	an upgrade  that compiles a revision to something else has nothing signed of it. Gateways keep what they have until somebody signs again.

// A sealed is what a fabric has of its seal, made once.
type sealed struct {
	once sync.Once
	tree *grant.Tree
	err  error
}

// outside reports whether the key that signs plans is kept outside the controllers.
func (d *desk) outside() bool { return d.planKey != nil }

// grants returns the tree of all that a fabric grants, which its seal is over.
func (f *fabric) grants() (*grant.Tree, error) {
	f.sealed.once.Do(func() { f.sealed.tree, f.sealed.err = grant.NewTree(f.plan, f.number, f.seal.Until) })
	return f.sealed.tree, f.sealed.err
}

// checkSeal refuses a fabric whose seal is not the authority's, over its grants as they are compiled here.
func (d *desk) checkSeal(f *fabric) error {
	if f.plan == nil { // there is nothing yet
		return nil
	}
	tree, err := f.grants()
	if err != nil {
		return err
	}
	if f.seal.IsZero() || !tree.Signed(d.planKey, f.seal.Signature) {
		return refusal("RW7802", fmt.Sprintf("revision %d", f.number), "it is not signed with the key that gateways have pinned, as this version compiles it",
			"ropeway sign signs it again, with a ropeway of the same version as the controllers; gateways keep what they have until then")
	}
	return nil
}

// sealOf returns the seals of a change, for the number that it will get.
func sealOf(s *ropewayv1.Seal, number uint64) (revision, wayBack store.Seal) {
	revision = store.Seal{Signature: s.GetSignature(), Number: number}
	if len(s.GetBack()) > 0 {
		wayBack = store.Seal{Signature: s.GetBack(), Number: number + 1, Until: s.GetBackUntil()}
	}
	return revision, wayBack
}

// takeSeal gives a fabric that is about to be committed the seal that somebody sent, where it is one, and returns that of the way back.
func (d *desk) takeSeal(ctx context.Context, c *change, now *present, next *fabric) (wayBack store.Seal, err error) {
	if !d.outside() {
		return store.Seal{}, nil
	}
	if c.seal == nil {
		return store.Seal{}, refusal("RW7801", "fabric", "plans are signed outside this controller, and the change is not signed", "somebody who is bound to no place and has the key applies it: --signer, see docs/signing.md")
	}
	if next.number, err = d.store.NextNumber(ctx, now.newest.number); err != nil {
		return store.Seal{}, err
	}
	next.seal, wayBack = sealOf(c.seal, next.number)
	if err := d.checkSeal(next); err != nil {
		return store.Seal{}, refusal("RW7803", "fabric", "what was signed is not what this controller makes of the file",
			"apply once more: somebody may have enrolled meanwhile. If it happens again, compare the versions: ropeway version, ropewayd version")
	}
	if wayBack.IsZero() || now.newest.number == 0 {
		return store.Seal{}, nil
	}
	return wayBack, d.checkSeal(now.newest.again(wayBack))
}

// again returns a fabric as it would be under another number.
func (f *fabric) again(seal store.Seal) *fabric {
	return &fabric{number: seal.Number, past: f.past, file: f.file, intent: f.intent, lock: f.lock, plan: f.plan, names: f.names, seal: seal}
}

// checkWayBack refuses to go back where nobody has signed that, or it was long ago.
func (d *desk) checkWayBack(ctx context.Context, now *present, at time.Time) error {
	seal := now.rollout.WayBack
	number, err := d.store.NextNumber(ctx, now.newest.number)
	if err != nil {
		return err
	}
	switch {
	case seal.IsZero():
		return noWayBack(now, "nobody signed the way back")
	case seal.Number != number:
		return noWayBack(now, "other revisions came in between")
	case at.Unix() > int64(seal.Until) && seal.Until != 0:
		return noWayBack(now, "the signature of the way back has lapsed")
	}
	return d.checkSeal(now.base.again(seal))
}

func noWayBack(now *present, why string) error {
	return refusal("RW7804", fmt.Sprintf("rollout of revision %d", now.rollout.Revision), "it cannot go back by itself: "+why,
		fmt.Sprintf("ropeway rollback %d --at-once signs it", now.rollout.Base))
}

// toSign returns what somebody has to know to sign a proposal; nil where the controllers sign themselves.
func (d *desk) toSign(ctx context.Context, now *present, next *fabric) (*ropewayv1.ToSign, error) {
	if !d.outside() {
		return nil, nil
	}
	lock, err := next.lock.Encode()
	if err != nil {
		return nil, err
	}
	number, err := d.store.NextNumber(ctx, now.newest.number)
	return &ropewayv1.ToSign{File: next.file, Lock: lock, Number: number}, err
}

// waiting says what waits for somebody who signs: the newest revision as a whole, or the keys of gateways.
func (d *desk) waiting(ctx context.Context, f *fabric, members []store.Member) (whole bool, keys []string, err error) {
	if !d.outside() {
		return false, nil, nil
	}
	settled, err := d.settled(ctx, f)
	if err != nil {
		return false, nil, err
	}
	all := brought(members)
	for _, g := range f.plan.Gateways {
		if k, ok := all[g.Name]; ok && k != f.lock.Gateways[g.Name].PublicKey {
			keys = append(keys, g.Name)
		}
	}
	return !settled, keys, nil
}

// settled reports whether the newest revision is signed as it is compiled here, for good, and gateways may follow it.
func (d *desk) settled(ctx context.Context, f *fabric) (bool, error) {
	next, err := d.store.NextNumber(ctx, f.number) // where numbers have jumped, gateways follow none of what was signed before
	return next == f.number+1 && f.seal.Until == 0 && d.checkSeal(f) == nil, err
}

// planKeyOf returns the key that seals are held against; nil where the authority signs by itself.
func planKeyOf(o *Options) ed25519.PublicKey {
	if o.Authority == nil || o.Authority.Signer() != nil {
		return nil
	}
	return o.Authority.PublicKey()
}
