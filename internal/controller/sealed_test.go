package controller

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/authority"
	"ropeway/internal/grant"
	"ropeway/internal/key"
	"ropeway/internal/plan"
	"ropeway/internal/rollout"
	"ropeway/internal/seal"
	"ropeway/internal/store"
)

// An owner keeps the key that signs plans, and signs what a controller shows him as ropeway does.
type owner struct {
	h   *here
	key ed25519.PrivateKey
}

// owned is a controller that signs nothing, and who does.
func owned(t *testing.T) *owner {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	dir := t.TempDir() + "/authority"
	must(t, authority.KeepElsewhere(dir, private.Public().(ed25519.PublicKey)))
	ca, err := authority.Open(dir, "shop", time.Now())
	must(t, err)
	return &owner{serveHere(t, func(o *Options) { o.Authority = ca }), private}
}

func (o *owner) public() ed25519.PublicKey { return o.key.Public().(ed25519.PublicKey) }

// examine looks at a change as the controller tells of it.
func (o *owner) examine(ctx context.Context, as ropewayv1connect.FabricServiceClient, req *ropewayv1.PreviewRequest) (*seal.Case, uint64) {
	o.h.t.Helper()
	seen, err := as.Preview(ctx, req)
	must(o.h.t, err)
	base := seal.Revision{Number: seen.Base}
	if seen.Base > 0 {
		was, err := as.GetRevision(ctx, &ropewayv1.GetRevisionRequest{Number: seen.Base})
		must(o.h.t, err)
		base = seal.Revision{Number: seen.Base, File: was.File, Lock: was.Lock, Signature: was.Signature, Until: was.Until}
	}
	c, err := seal.Examine(o.public(), "shop", base, seal.Revision{Number: seen.ToSign.Number, File: seen.ToSign.File, Lock: seen.ToSign.Lock})
	must(o.h.t, err)
	return c, seen.Base
}

// apply signs a change and has it applied. A zero until signs no way back.
func (o *owner) apply(as ropewayv1connect.FabricServiceClient, req *ropewayv1.PreviewRequest, until time.Time) (*ropewayv1.ApplyResponse, error) {
	o.h.t.Helper()
	ctx := o.h.t.Context()
	c, base := o.examine(ctx, as, req)
	s := &ropewayv1.Seal{}
	var err error
	s.Signature, err = c.Sign(o.key)
	must(o.h.t, err)
	if !until.IsZero() {
		s.BackUntil = uint64(until.Unix())
		s.Back, err = c.SignBack(o.key, s.BackUntil)
		must(o.h.t, err)
	}
	return as.Apply(ctx, &ropewayv1.ApplyRequest{File: req.File, Renew: req.Renew, Rollback: req.Rollback, Base: base, Seal: s, AtOnce: until.IsZero()})
}

// member makes a gateway a member that brought a key.
func (o *owner) member(name string) key.Public {
	o.h.t.Helper()
	private, err := key.NewPrivate()
	must(o.h.t, err)
	token := store.Token{Identity: gatewayPrefix + name, Author: "admin/test", Replace: true}
	made, _, err := o.h.makeToken(o.h.t.Context(), token, time.Hour)
	must(o.h.t, err)
	_, err = o.h.opts.Store.Redeem(o.h.t.Context(), made.Hash(), time.Now(), func(t store.Token) store.Member {
		return store.Member{Identity: t.Identity, Fingerprint: [32]byte{1}, PublicKeys: map[string]string{"rw0": private.Public().String()}, At: time.Now()}
	})
	must(o.h.t, err)
	must(o.h.t, o.h.desk.know(o.h.t.Context(), name, private.Public(), time.Now()))
	return private.Public()
}

// granted waits until a gateway is handed an epoch, and opens it as the gateway would.
func (o *owner) granted(gateway string, epoch uint64) *plan.Gateway {
	o.h.t.Helper()
	var p *parcel
	waitFor(o.h.t, func() bool { p = o.h.outbox.look(gateway); return p != nil && p.epoch == epoch })
	s, err := p.wrap()
	must(o.h.t, err)
	g, err := grant.Verifier{Authority: o.public(), Fabric: "shop", Gateway: gateway, Epoch: epoch - 1, Now: uint64(time.Now().Unix())}.Open(s)
	must(o.h.t, err)
	doc, err := plan.Decode(g.Plan)
	must(o.h.t, err)
	return &doc.Gateway
}

func waitFor(t *testing.T, what func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !what(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited for a minute")
		}
	}
}

func refusedFor(err error, code string) bool {
	var answer *connect.Error
	return errors.As(err, &answer) && answer.Code() == connect.CodeFailedPrecondition && strings.Contains(answer.Message(), code)
}

// TestSignedOutside: what gateways get was signed by whoever keeps the key; what they bring waits for him, and so does that one was put out.
func TestSignedOutside(t *testing.T) {
	o := owned(t)
	ada := o.h.somebody("admin/ada").fabric()
	ctx := t.Context()
	if o.h.opts.Authority.Signer() != nil {
		t.Fatal("the controller has a key that signs plans")
	}
	_, err := ada.Apply(ctx, &ropewayv1.ApplyRequest{File: file(open)})
	if !refusedFor(err, "RW7801") {
		t.Errorf("applied without a signature: %v", err)
	}
	done, err := o.apply(ada, &ropewayv1.PreviewRequest{File: file(open)}, time.Time{})
	if err != nil || done.Revision != 1 {
		t.Fatalf("%v, %v", done, err)
	}
	o.granted("gw1", 1)
	if done, err = o.apply(ada, &ropewayv1.PreviewRequest{File: file(open)}, time.Time{}); err != nil || done.Changed {
		t.Errorf("the same again: %v, %v", done, err)
	}

	brought := o.member("gw1")
	if n, err := o.h.opts.Store.NewestNumber(ctx); err != nil || n != 1 {
		t.Errorf("a key made revision %d, which nobody signed (%v)", n, err)
	}
	if list, err := ada.ListGateways(ctx, &ropewayv1.ListGatewaysRequest{}); err != nil || list.Unsigned || !slices.Equal(list.KeysToSign, []string{"gw1"}) {
		t.Errorf("what waits for somebody who signs: %v, %v", list, err)
	}
	c, _ := o.examine(ctx, ada, &ropewayv1.PreviewRequest{Renew: true})
	if len(c.Keys) != 1 || c.Keys[0] != (seal.Key{Gateway: "gw1", Is: brought}) || !c.Known {
		t.Errorf("to sign: %+v", c.Keys)
	}
	if done, err = o.apply(ada, &ropewayv1.PreviewRequest{Renew: true}, time.Time{}); err != nil || done.Revision != 2 {
		t.Fatalf("%v, %v", done, err)
	}
	if g := o.granted("gw2", 2); g.Devices[0].Peers[0].PublicKey != brought {
		t.Error("the other gateway does not know the key")
	}

	must(t, o.h.opts.Store.Revoke(ctx, gatewayPrefix+"gw1"))
	if c, _ = o.examine(ctx, ada, &ropewayv1.PreviewRequest{Renew: true}); len(c.Keys) != 1 || c.Keys[0] != (seal.Key{Gateway: "gw1", Was: brought}) {
		t.Errorf("to sign once the gateway was put out: %+v", c.Keys)
	}
	if done, err = o.apply(ada, &ropewayv1.PreviewRequest{Renew: true}, time.Time{}); err != nil || done.Revision != 3 {
		t.Fatalf("%v, %v", done, err)
	}
	if g := o.granted("gw2", 3); !g.Devices[0].Peers[0].PublicKey.IsZero() {
		t.Error("the other gateway knows the key still")
	}
}

// TestSignedForSomethingElse: a signature over another file, another number, or of another key changes nothing.
func TestSignedForSomethingElse(t *testing.T) {
	o := owned(t)
	ada, ctx := o.h.somebody("admin/ada").fabric(), t.Context()
	c, _ := o.examine(ctx, ada, &ropewayv1.PreviewRequest{File: file(open)})
	good, err := c.Sign(o.key)
	must(t, err)
	_, stranger, err := ed25519.GenerateKey(nil)
	must(t, err)
	strangers, err := c.Sign(stranger)
	must(t, err)
	for name, req := range map[string]*ropewayv1.ApplyRequest{
		"another file": {File: file(closed), Seal: &ropewayv1.Seal{Signature: good}},
		"another key":  {File: file(open), Seal: &ropewayv1.Seal{Signature: strangers}},
		"nothing":      {File: file(open), Seal: &ropewayv1.Seal{}},
		"half of it":   {File: file(open), Seal: &ropewayv1.Seal{Signature: good[:32]}},
	} {
		if _, err := ada.Apply(ctx, req); !refusedFor(err, "RW7803") {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, o.h.opts.Store.Surpass(ctx, 1000))
	if _, err := ada.Apply(ctx, &ropewayv1.ApplyRequest{File: file(open), Seal: &ropewayv1.Seal{Signature: good}}); !refusedFor(err, "RW7803") {
		t.Errorf("numbers have jumped: %v", err)
	}
	if n, err := o.h.opts.Store.NewestNumber(ctx); err != nil || n != 0 {
		t.Fatalf("revision %d, %v", n, err)
	}
	if done, err := o.apply(ada, &ropewayv1.PreviewRequest{File: file(open)}, time.Time{}); err != nil || done.Revision != 1001 {
		t.Errorf("signed for the number past the jump: %v, %v", done, err)
	}
	must(t, o.h.opts.Store.Surpass(ctx, 2000)) // as a gateway does that shows a grant from before a restore
	if done, err := o.apply(ada, &ropewayv1.PreviewRequest{Renew: true}, time.Time{}); err != nil || done.Revision != 2001 {
		t.Errorf("signed again, past another jump: %v, %v", done, err)
	}
	bound := o.h.somebody("operator/bob", "east").fabric()
	seen, err := bound.Preview(ctx, &ropewayv1.PreviewRequest{File: file(open)})
	if err != nil || seen.ToSign != nil {
		t.Errorf("who is bound to a place is shown all to sign: %v, %v", seen.GetToSign(), err)
	}
}

// TestTakenOver: whoever has the controller and its store, and not the key, gets no gateway to follow anything new.
func TestTakenOver(t *testing.T) {
	o := owned(t)
	ada, ctx := o.h.somebody("admin/ada").fabric(), t.Context()
	o.member("gw1")
	if _, err := o.apply(ada, &ropewayv1.PreviewRequest{File: file(closed)}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	held := o.granted("gw1", 1)
	first, err := o.h.opts.Store.Revision(ctx, 1)
	must(t, err)

	// He writes a revision of his own past all checks: open to everybody, and with a peer's key of his.
	evil, err := key.NewPrivate()
	must(t, err)
	o.member("gw2")
	now, err := o.h.desk.current(ctx)
	must(t, err)
	lock, err := now.lock.With("gw2", evil.Public()).Encode()
	must(t, err)
	for name, r := range map[string]store.Revision{
		"a wider file": {File: file(open), Lock: first.Lock},
		"a peer's key": {File: file(closed), Lock: lock},
	} {
		for how, signature := range map[string][]byte{"the old signature": first.Seal.Signature, "a random one": bytes.Repeat([]byte{7}, 64), "none": nil} {
			newest, err := o.h.opts.Store.NewestNumber(ctx)
			must(t, err)
			r.At, r.Author, r.Kind = time.Now(), "admin/mallory", "apply"
			r.Seal = store.Seal{}
			if signature != nil {
				r.Seal = store.Seal{Signature: signature, Number: newest + 1}
			}
			n, err := o.h.opts.Store.Commit(ctx, newest, r)
			must(t, err)
			waitFor(t, func() bool { return o.h.latest.Load() >= n })
			if p := o.h.outbox.look("gw1"); p != nil && p.epoch > 1 {
				t.Errorf("%s with %s is handed out", name, how)
			}
			// Nor does the gateway take it from a controller that hands it out all the same.
			forged, err := o.h.desk.current(ctx)
			must(t, err)
			tree, err := forged.grants()
			must(t, err)
			s, err := tree.Wrap(forged.gateway("gw1"), signature)
			must(t, err)
			v := grant.Verifier{Authority: o.public(), Fabric: "shop", Gateway: "gw1", Epoch: 1, Now: uint64(time.Now().Unix())}
			if _, err := v.Open(s); !errors.Is(err, grant.ErrSignature) {
				t.Errorf("%s with %s is followed: %v", name, how, err)
			}
		}
	}
	// Whoever signs next compares with what he signed last, and is shown all that was put in.
	c, _ := o.examine(ctx, ada, &ropewayv1.PreviewRequest{File: file(closed)})
	if c.Known || len(c.Keys) == 0 {
		t.Errorf("what nobody signed is taken for known: %+v", c.Keys)
	}
	if done, err := o.apply(ada, &ropewayv1.PreviewRequest{File: file(closed)}, time.Time{}); err != nil || !done.Changed {
		t.Fatalf("%v, %v", done, err)
	}
	newest, err := o.h.opts.Store.NewestNumber(ctx)
	must(t, err)
	if g := o.granted("gw1", newest); g.Devices[0].Name != held.Devices[0].Name {
		t.Error("the fabric does not go on once it is signed again")
	}
}

// TestTheWayBack: a rollout goes back by itself if that was signed, for as long as it was; else it waits for whoever signs.
func TestTheWayBack(t *testing.T) {
	for name, tt := range map[string]struct {
		until time.Duration // 0: no way back is signed
		later time.Duration // when it has to go back
		want  string
	}{
		"in time":  {time.Hour, time.Minute, ""},
		"too late": {time.Hour, 2 * time.Hour, "RW7804"},
	} {
		t.Run(name, func(t *testing.T) {
			o := owned(t)
			ada, ctx := o.h.somebody("admin/ada").fabric(), t.Context()
			o.member("gw1")
			o.member("gw2")
			if _, err := o.apply(ada, &ropewayv1.PreviewRequest{File: file(open)}, time.Time{}); err != nil {
				t.Fatal(err)
			}
			if done, err := o.apply(ada, &ropewayv1.PreviewRequest{File: file(closed)}, time.Now().Add(tt.until)); err != nil || done.Revision != 2 {
				t.Fatalf("%v, %v", done, err)
			}
			o.member("gw2") // another key meanwhile does not stand in the way
			now, err := o.h.desk.present(ctx)
			must(t, err)
			n, err := o.h.desk.goBack(ctx, now.step(), back{author: "controller/one", as: rollout.Failed, why: "a story", at: time.Now().Add(tt.later)})
			if tt.want != "" {
				if string(codeOf(err)) != tt.want {
					t.Errorf("%d, %v", n, err)
				}
				l := &lookout{Controller: o.h.Controller}
				must(t, l.hold(ctx, now, "a story", problemOf(err)))
				if _, r, err := o.h.opts.Store.Present(ctx); err != nil || r.State != rollout.Paused || !strings.Contains(r.Why, "--at-once") {
					t.Errorf("%+v, %v", r, err)
				}
				return
			}
			if err != nil || n != 3 {
				t.Fatalf("%d, %v", n, err)
			}
			if g := o.granted("gw1", 3); len(g.Devices[0].Peers[0].AllowedIPs) == 0 {
				t.Error("it did not go back")
			}
			// What came back by itself lapses, so it is to be signed for good.
			if list, err := ada.ListGateways(ctx, &ropewayv1.ListGatewaysRequest{}); err != nil || !list.Unsigned {
				t.Errorf("nobody is told: %v, %v", list, err)
			}
			if done, err := o.apply(ada, &ropewayv1.PreviewRequest{Renew: true}, time.Time{}); err != nil || done.Revision != 4 {
				t.Errorf("signed for good: %v, %v", done, err)
			}
		})
	}
}
