package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"ropeway/internal/compile"
	"ropeway/internal/diag"
	"ropeway/internal/intent"
	"ropeway/internal/key"
	"ropeway/internal/plan"
	"ropeway/internal/proposal"
	"ropeway/internal/role"
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
}

func (f *fabric) side() proposal.Side { return proposal.Side{Intent: f.intent, Plan: f.plan} }

// A desk is where changes of the fabric are worked out, one at a time.
type desk struct {
	fabric string // its name
	store  *store.Store

	mu       sync.Mutex
	compiler compile.Compiler
	now      *fabric
}

// current returns the newest revision.
func (d *desk) current(ctx context.Context) (*fabric, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.renew(ctx)
}

// renew compiles the newest revision, unless that was done. The lock must be held.
func (d *desk) renew(ctx context.Context) (*fabric, error) {
	r, err := d.store.Newest(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the newest revision: %w", err)
	}
	switch {
	case r == nil:
		return &fabric{}, nil
	case d.now != nil && d.now.number == r.Number:
		return d.now, nil
	}
	in, problems := intent.Read(revisionName(r.Number), r.File)
	if in == nil {
		return nil, fmt.Errorf("read revision %d, which an other version of Ropeway wrote: %w", r.Number, problems)
	}
	lock, err := state.Parse(revisionName(r.Number)+" lock", r.Lock)
	if err != nil {
		return nil, fmt.Errorf("read the lock of revision %d: %w", r.Number, err)
	}
	if d.now != nil && d.now.past != r.Past {
		d.compiler = compile.Compiler{} // numbers have jumped past what gateways may hold: all plans are made, and handed out, anew
	}
	p, _ := d.compiler.Compile(in, lock)
	d.now = &fabric{number: r.Number, past: r.Past, file: r.File, intent: in, lock: lock, plan: p}
	return d.now, nil
}

func revisionName(number uint64) string { return fmt.Sprintf("revision-%d.yaml", number) }

// propose compares a file with the newest revision.
func (d *desk) propose(ctx context.Context, name string, file []byte) (*proposal.Proposal, *fabric, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, err := d.renew(ctx)
	if err != nil {
		return nil, nil, err
	}
	in, problems := intent.Read(name, file)
	if in == nil {
		return nil, nil, problems
	}
	if in.Name != d.fabric {
		return nil, nil, refusal("RW7002", "fabric "+in.Name, "this controller keeps fabric "+d.fabric, "one controller keeps one fabric; apply this file to the controller of its own")
	}
	lock, err := d.withKeys(ctx, in, now.lock)
	if err != nil {
		return nil, nil, err
	}
	return proposal.Make(&d.compiler, now.side(), in, lock), now, nil
}

// withKeys adds what gateways brought when they enrolled to what is remembered. A gateway may enroll before the fabric has it.
func (d *desk) withKeys(ctx context.Context, in *intent.Fabric, lock *state.Lock) (*state.Lock, error) {
	members, err := d.store.Members(ctx, gatewayPrefix)
	if err != nil {
		return nil, fmt.Errorf("read the keys of gateways: %w", err)
	}
	if lock == nil {
		lock = &state.Lock{Fabric: in.Name}
	}
	mine := map[string]bool{}
	for _, g := range in.Gateways() {
		mine[g.Name] = true
	}
	for _, m := range members {
		name := strings.TrimPrefix(m.Identity, gatewayPrefix)
		k, err := key.ParsePublic(m.PublicKeys[deviceName])
		if err == nil && mine[name] && !m.Revoked && lock.Gateways[name].PublicKey != k { // mostly it is known, and nothing is copied
			lock = lock.With(name, k)
		}
	}
	return lock, nil
}

// gatewayPrefix is what the identities of gateways begin with.
const gatewayPrefix = string(role.Gateway) + "/"

// A change is what somebody wants the fabric to be.
type change struct {
	author   string
	name     string // of the file, for messages
	file     []byte
	base     uint64 // the revision that they looked at
	override []string
	reason   string
	at       time.Time
}

// apply makes a file the newest revision. Where it changes nothing, no revision is made.
func (d *desk) apply(ctx context.Context, c change) (number uint64, changed bool, err error) {
	p, now, err := d.propose(ctx, c.name, c.file)
	if err != nil {
		return 0, false, err
	}
	if now.number != c.base {
		return 0, false, moved(c.base, now.number)
	}
	if !p.Changed && string(now.file) == string(c.file) {
		return now.number, false, nil
	}
	if left := p.Unproven(c.override); len(left) > 0 {
		return 0, false, unproven(left)
	}
	if len(c.override) > 0 && c.reason == "" {
		return 0, false, refusal("RW7004", "override", "an override says why", `add --reason "…": it is recorded`)
	}
	lock, err := p.Lock.Encode()
	if err != nil {
		return 0, false, err
	}
	number, err = d.store.Commit(ctx, c.base, store.Revision{
		At: c.at, Author: c.author, Kind: "apply", Reason: c.reason, Override: c.override, File: c.file, Lock: lock,
	})
	if errors.Is(err, store.ErrMoved) {
		return 0, false, moved(c.base, number)
	}
	return number, err == nil, err
}

// keyAttempts bounds how often the key of a gateway is tried to be made known while others change the fabric.
const keyAttempts = 64

// know makes the public key of a gateway a part of the fabric.
func (d *desk) know(ctx context.Context, gateway string, k key.Public, at time.Time) error {
	for range keyAttempts {
		now, err := d.current(ctx)
		if err != nil {
			return err
		}
		if now.plan == nil || now.plan.Gateway(gateway) == nil || now.lock.Gateways[gateway].PublicKey == k {
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

func moved(base, newest uint64) error {
	return refusal(codeMoved, "fabric", fmt.Sprintf("it is at revision %d now, and the change was looked at against revision %d", newest, base), "look at the difference again, and apply once more")
}

func unproven(left []string) error {
	return refusal("RW7003", "fabric", "the proof fails: "+fmt.Sprint(left), `mend what the proof names, or apply with --override CODE --reason "…"`)
}

// codeMoved is what a change that came too late is refused with.
const codeMoved diag.Code = "RW7001"

func refusal(code diag.Code, subject, message, hint string) error {
	return diag.Problem{Code: code, Severity: diag.Error, Subject: subject, Message: message, Hint: hint}
}
