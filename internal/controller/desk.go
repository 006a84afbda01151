package controller

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/compile"
	"ropeway/internal/diag"
	"ropeway/internal/intent"
	"ropeway/internal/key"
	"ropeway/internal/plan"
	"ropeway/internal/proposal"
	"ropeway/internal/role"
	"ropeway/internal/rollout"
	"ropeway/internal/scope"
	"ropeway/internal/state"
	"ropeway/internal/store"
)

// A fabric is one revision, compiled.
type fabric struct {
	number uint64 // 0: there is none yet
	past   uint64 // what numbers have to exceed
	file   []byte
	intent *intent.Fabric
	lock   *state.Lock
	plan   *plan.Fabric
	names  map[string]*plan.Gateway
	seal   store.Seal // zero where the controllers sign plans themselves
	sealed sealed

	lockText []byte // lock as it is stored, of a fabric that was proposed here
}

// gateway returns the plan of a gateway, or nil.
func (f *fabric) gateway(name string) *plan.Gateway { return f.names[name] }

// planned gives a fabric its plan.
func (f *fabric) planned(p *plan.Fabric) *fabric {
	f.plan, f.names = p, make(map[string]*plan.Gateway, len(p.Gateways))
	for _, g := range p.Gateways {
		f.names[g.Name] = g
	}
	return f
}

func (f *fabric) side() proposal.Side { return proposal.Side{Intent: f.intent, Plan: f.plan} }

// A desk is where changes of the fabric are worked out. They are compiled one at a time and proven beside each other.
type desk struct {
	fabric  string // its name
	store   *store.Store
	planKey ed25519.PublicKey // of those who sign plans outside the controllers; nil: they sign themselves

	ready func(now, next *present) // told of what is about to be committed; nil: nobody is

	proofs chan struct{}          // holds one for each proof that is made: they take much memory
	looked atomic.Pointer[looked] // nil: nobody looked since the last change

	mu       sync.Mutex
	compiler compile.Compiler
	last     *present // what was asked for last
	made     *fabric  // that was committed here last; nil: none
	going    *fabric  // is being committed; the store may tell of it before its commit returns
}

// mostProofs bounds how many changes are proven at a time.
const mostProofs = 2

func newDesk(name string, s *store.Store) *desk {
	return &desk{fabric: name, store: s, proofs: make(chan struct{}, mostProofs)}
}

// current returns the newest revision.
func (d *desk) current(ctx context.Context) (*fabric, error) {
	now, err := d.present(ctx)
	if err != nil {
		return nil, err
	}
	return now.newest, nil
}

// present returns what stands in the store, compiled.
func (d *desk) present(ctx context.Context) (*present, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.renew(ctx)
}

// renew compiles what stands in the store, unless that was done. The lock must be held.
func (d *desk) renew(ctx context.Context) (*present, error) {
	newest, r, err := d.store.Present(ctx)
	if err != nil {
		return nil, err
	}
	if d.last != nil && d.last.newest.number == newest && d.last.step() == stepOf(r) {
		return d.last, nil
	}
	now := &present{rollout: r}
	if now.active() { // first, so that the newest shares with it what did not change
		if now.base, err = d.compiled(ctx, r.Base); err != nil {
			return nil, err
		}
	}
	if now.newest, err = d.compiled(ctx, newest); err != nil {
		return nil, err
	}
	if now.base != nil {
		now.touch()
	}
	d.last = now
	return now, nil
}

// compiled returns a revision. The lock must be held.
func (d *desk) compiled(ctx context.Context, number uint64) (*fabric, error) {
	if number == 0 {
		return &fabric{}, nil
	}
	known := []*fabric{d.made}
	if d.last != nil {
		known = append(known, d.last.newest, d.last.base)
	}
	for _, f := range known {
		if f != nil && f.number == number {
			return f, nil
		}
	}
	r, err := d.store.Revision(ctx, number)
	if err != nil {
		return nil, err
	}
	if g := d.going; g != nil && g.number == number && g.past == r.Past && bytes.Equal(g.file, r.File) && bytes.Equal(g.lockText, r.Lock) {
		d.made = g
		return g, nil
	}
	in, problems := intent.Read(revisionName(number), r.File)
	if in == nil {
		return nil, fmt.Errorf("read revision %d, which an other version of Ropeway wrote: %w", number, problems)
	}
	lock, err := state.Parse(revisionName(number)+" lock", r.Lock)
	if err != nil {
		return nil, fmt.Errorf("read the lock of revision %d: %w", number, err)
	}
	p, _ := d.compiler.Compile(in, lock)
	return (&fabric{number: number, past: r.Past, file: r.File, intent: in, lock: lock, seal: r.Seal}).planned(p), nil
}

func revisionName(number uint64) string { return fmt.Sprintf("revision-%d.yaml", number) }

// propose compares a file with the newest revision. The fabric that it returns is what the file makes of it, with no number yet.
// Where places are given it may touch nothing but what is theirs: neither shows the difference to anything else, nor makes it.
// Shown says that people are to see it: they want to know who gains and loses a path.
func (d *desk) propose(ctx context.Context, name string, file []byte, places []string, shown bool) (p *proposal.Proposal, now *present, next *fabric, err error) {
	in, problems := intent.Read(name, file)
	if in == nil {
		return nil, nil, nil, problems
	}
	if in.Name != d.fabric {
		return nil, nil, nil, refusal("RW7002", "fabric "+in.Name, "this controller keeps fabric "+d.fabric, "one controller keeps one fabric; apply this file to the controller of its own")
	}
	select {
	case d.proofs <- struct{}{}:
		defer func() { <-d.proofs }()
	case <-ctx.Done():
		return nil, nil, nil, ctx.Err()
	}
	if now, next, err = d.compile(ctx, in, file); err != nil {
		return nil, nil, nil, err
	}
	if len(places) > 0 {
		if foreign := scope.Foreign(now.newest.intent, in, places); len(foreign) > 0 {
			return nil, nil, nil, notYours(foreign)
		}
	}
	return d.weigh(now.newest, next, shown), now, next, nil
}

// weigh proves what a fabric would become, unless that was done when it was shown.
func (d *desk) weigh(was, next *fabric, shown bool) *proposal.Proposal {
	if !shown {
		if p := d.looked.Load(); p.same(was, next) {
			return p.proposal
		}
		return proposal.Prove(was.side(), next.side(), next.lock)
	}
	p := proposal.Weigh(was.side(), next.side(), next.lock)
	d.looked.Store(&looked{was, next, p})
	return p
}

// A looked is the proposal that somebody looked at last: mostly he applies it next.
type looked struct {
	was, next *fabric
	proposal  *proposal.Proposal
}

// same reports whether it is the proposal of these two. A compiler that has nothing new to say returns the very gateways and places that it returned before.
func (l *looked) same(was, next *fabric) bool {
	return l != nil && l.was == was && bytes.Equal(l.next.file, next.file) && slices.Equal(l.next.plan.Gateways, next.plan.Gateways) &&
		slices.Equal(l.next.plan.Places, next.plan.Places)
}

// compile makes the plan of a file as the successor of the newest revision.
func (d *desk) compile(ctx context.Context, in *intent.Fabric, file []byte) (now *present, next *fabric, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now, err = d.renew(ctx); err != nil {
		return nil, nil, err
	}
	lock, err := d.withKeys(ctx, in, now.newest.lock)
	if err != nil {
		return nil, nil, err
	}
	p, lock := d.compiler.Compile(in, lock)
	return now, (&fabric{past: now.newest.past, file: file, intent: in, lock: lock}).planned(p), nil
}

func (d *desk) set(going *fabric) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.going = going
}

// adopt takes what was committed for the newest revision, unless there is a newer one by now. Nobody has to read and compile it again.
func (d *desk) adopt(committed *fabric) {
	d.looked.Store(nil) // a plan may be large
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made == nil || d.made.number < committed.number {
		d.made = committed
	}
}

// withKeys adds what gateways brought when they enrolled to what is remembered, and takes away what those brought that were put out. A gateway may
// enroll before the fabric has it.
func (d *desk) withKeys(ctx context.Context, in *intent.Fabric, lock *state.Lock) (*state.Lock, error) {
	members, err := d.store.Members(ctx, gatewayPrefix)
	if err != nil {
		return nil, fmt.Errorf("read the keys of gateways: %w", err)
	}
	if lock == nil {
		lock = &state.Lock{Fabric: in.Name}
	}
	all := brought(members)
	for _, g := range in.Gateways() {
		if k, ok := all[g.Name]; ok && lock.Gateways[g.Name].PublicKey != k { // mostly it is known, and nothing is copied
			lock = lock.With(g.Name, k)
		}
	}
	return lock, nil
}

// brought returns the keys that gateways brought: zero for one that was put out since.
func brought(members []store.Member) map[string]key.Public {
	out := map[string]key.Public{}
	for _, m := range members {
		k, err := key.ParsePublic(m.PublicKeys[deviceName])
		if m.Revoked {
			k = key.Public{}
		}
		if err == nil {
			out[strings.TrimPrefix(m.Identity, gatewayPrefix)] = k
		}
	}
	return out
}

// gatewayPrefix is what the identities of gateways begin with.
const gatewayPrefix = string(role.Gateway) + "/"

// A change is what somebody wants the fabric to be.
type change struct {
	author   string
	name     string // of the file, for messages
	file     []byte
	base     uint64   // the revision that they looked at
	places   []string // that they are bound to; none: they are not
	override []string
	reason   string
	rollback uint64 // the revision whose file it is; 0: somebody wrote it
	at       time.Time
	pace     pace
	renew    bool            // it is the newest revision's file, to be signed anew
	seal     *ropewayv1.Seal // nil: none came
	wayBack  store.Seal
}

// kind is what a change is called in the history, and why it was made.
func (c *change) kind() (kind, reason string) {
	switch {
	case c.renew:
		return "sign" + c.pace.kind(), c.reason
	case c.rollback == 0:
		return "apply" + c.pace.kind(), c.reason
	}
	reason = fmt.Sprintf("back to revision %d", c.rollback)
	if c.reason != "" {
		reason += ": " + c.reason
	}
	return "rollback" + c.pace.kind(), reason
}

// apply makes a file the newest revision, and has it brought to the gateways. Where it changes nothing, no revision is made.
func (d *desk) apply(ctx context.Context, c change) (number uint64, changed bool, err error) {
	p, now, next, err := d.propose(ctx, c.name, c.file, c.places, false)
	if err != nil {
		return 0, false, err
	}
	if now.newest.number != c.base {
		return 0, false, moved(c.base, now.newest.number)
	}
	if same, err := d.same(ctx, p, now, next); err != nil || same {
		return now.newest.number, false, err
	}
	if now.active() && (!c.pace.atOnce || len(c.places) > 0) { // whose it is may be another's
		return 0, false, busy(now.rollout)
	}
	if len(c.places) > 0 && len(c.override) > 0 {
		return 0, false, refusal("RW7605", "override", "whoever is bound to places may not apply what is not proven: what fails may be another's", "ask somebody who is bound to none")
	}
	if left := p.Unproven(c.override); len(left) > 0 {
		return 0, false, unproven(left)
	}
	if len(c.override) > 0 && c.reason == "" {
		return 0, false, refusal("RW7004", "override", "an override says why", `add --reason "…": it is recorded`)
	}
	lock, err := next.lock.Encode()
	if err != nil {
		return 0, false, err
	}
	next.number, next.lockText = c.base+1, lock // as a rule; see store.Commit
	if c.wayBack, err = d.takeSeal(ctx, &c, now, next); err != nil {
		return 0, false, err
	}
	bring := c.pace.rollout(c, p, next)
	d.set(next)
	defer d.set(nil)
	if d.ready != nil {
		d.ready(now, now.followed(next, bring(next.number)))
	}
	kind, reason := c.kind()
	r := store.Revision{At: c.at, Author: c.author, Kind: kind, Reason: reason, Override: c.override, File: c.file, Lock: lock, Seal: next.seal}
	number, err = d.store.CommitRollout(ctx, c.base, r, now.step(), bring)
	switch {
	case errors.Is(err, store.ErrMoved):
		return 0, false, moved(c.base, number)
	case errors.Is(err, store.ErrStep):
		return 0, false, refusal(codeMoved, "fabric", "its rollout took a step in the same moment", "apply once more")
	case err != nil:
		return number, false, err
	}
	if number == next.number { // else numbers have jumped, and what was made ready is of no use
		d.adopt(next)
	}
	return number, true, nil
}

// same reports whether a change changes nothing: neither the file nor what is compiled of it, nor what is signed.
func (d *desk) same(ctx context.Context, p *proposal.Proposal, now *present, next *fabric) (bool, error) {
	if p.Changed || !bytes.Equal(now.newest.file, next.file) {
		return false, nil
	}
	if !d.outside() {
		return true, nil
	}
	return d.settled(ctx, now.newest)
}

// keyAttempts bounds how often the key of a gateway is tried to be made known while others change the fabric.
const keyAttempts = 64

// know makes the public key of a gateway a part of the fabric, or leaves it to whoever signs next.
func (d *desk) know(ctx context.Context, gateway string, k key.Public, at time.Time) error {
	if d.outside() {
		return nil
	}
	for range keyAttempts {
		now, err := d.current(ctx)
		if err != nil {
			return err
		}
		if now.gateway(gateway) == nil || now.lock.Gateways[gateway].PublicKey == k {
			return nil // it is known, or no fabric has the gateway yet: the one that will takes the key along
		}
		next := now.lock.With(gateway, k)
		text, err := next.Encode()
		if err != nil {
			return err
		}
		_, err = d.store.Commit(ctx, now.number, store.Revision{At: at, Author: gatewayPrefix + gateway, Kind: "enroll", File: now.file, Lock: text})
		if !errors.Is(err, store.ErrMoved) {
			return err
		}
	}
	return fmt.Errorf("make the key of gateway %s known: the fabric changed %d times meanwhile", gateway, keyAttempts)
}

// forget takes the public key of a gateway out of the fabric, and returns the revision that does so: 0 where the fabric did not know it. Peers that
// have no key for a gateway do not speak with it. Where plans are signed outside, it is left to whoever signs next.
func (d *desk) forget(ctx context.Context, gateway, author string, at time.Time) (number uint64, err error) {
	if d.outside() {
		return 0, nil
	}
	for range keyAttempts {
		if err := d.endRollout(ctx, back{author, rollout.Aborted, "gateway " + gateway + " was revoked", at}); err != nil {
			return 0, err
		}
		now, err := d.current(ctx)
		if err != nil {
			return 0, err
		}
		if now.lock == nil || now.lock.Gateways[gateway].PublicKey.IsZero() {
			return 0, nil
		}
		text, err := now.lock.With(gateway, key.Public{}).Encode()
		if err != nil {
			return 0, err
		}
		number, err = d.store.Commit(ctx, now.number, store.Revision{At: at, Author: author, Kind: "revoke", Reason: "gateway " + gateway, File: now.file, Lock: text})
		if !errors.Is(err, store.ErrMoved) {
			return number, err
		}
	}
	return 0, fmt.Errorf("make the key of gateway %s unknown: the fabric changed %d times meanwhile", gateway, keyAttempts)
}

func moved(base, newest uint64) error {
	return refusal(codeMoved, "fabric", fmt.Sprintf("it is at revision %d now, and the change was looked at against revision %d", newest, base), "look at the difference again, and apply once more")
}

func notYours(foreign []string) error {
	return refusal("RW7604", "fabric", "the change touches what is not of your places: "+strings.Join(foreign, "; "), "change what belongs to your places alone; see docs/controller.md")
}

func unproven(left []string) error {
	return refusal("RW7003", "fabric", "the proof fails: "+fmt.Sprint(left), `mend what the proof names, or apply with --override CODE --reason "…"`)
}

// codeMoved is what a change that came too late is refused with.
const codeMoved diag.Code = "RW7001"

func refusal(code diag.Code, subject, message, hint string) error {
	return diag.Problem{Code: code, Severity: diag.Error, Subject: subject, Message: message, Hint: hint}
}
