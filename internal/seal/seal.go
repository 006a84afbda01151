// Package seal is the thought of whoever keeps the key that signs plans, outside the controllers: what he has to see before he signs, and what he signs.
//
// He believes nothing that a controller says. Of the revision before he has his own signature, so it is what he compares with. What is proposed he
// compiles, compares and proves himself: it comes as a fabric file and a lock, and a plan is a function of these two. What no file says is which key
// is which gateway's; a controller could put in its own. So keys that were not signed before are listed, and are for a person to hold against
// what the gateways themselves say.
package seal

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"

	"ropeway/internal/compile"
	"ropeway/internal/diag"
	"ropeway/internal/grant"
	"ropeway/internal/intent"
	"ropeway/internal/key"
	"ropeway/internal/plan"
	"ropeway/internal/proposal"
	"ropeway/internal/state"
)

// A Revision is one as a controller tells of it. Nothing of it is believed.
type Revision struct {
	Number     uint64 // 0: there is none
	File, Lock []byte
	Signature  []byte // nil: it is not signed yet
	Until      uint64 // when its grants lapse, in seconds since 1970; 0: never
}

// A Case is a change that somebody is to sign.
type Case struct {
	*proposal.Proposal
	Number uint64 // of the revision that the change would be
	Keys   []Key  // that were not signed before, in the order of the plan
	Known  bool   // what was before is signed; else all is shown as new, and there is no way back to it
	was    *plan.Fabric
}

// A Key is what WireGuard key a gateway is to have.
type Key struct {
	Gateway string     `json:"gateway"`
	Is      key.Public `json:"is,omitzero"`  // zero: none any more
	Was     key.Public `json:"was,omitzero"` // zero: none yet
}

// Examine works out what a change does. public is the key that gateways have pinned.
func Examine(public ed25519.PublicKey, fabric string, base, next Revision) (*Case, error) {
	if next.Number <= base.Number {
		return nil, fmt.Errorf("the change would be revision %d, and revision %d is there", next.Number, base.Number)
	}
	var compiler compile.Compiler
	c := &Case{Number: next.Number}
	before := c.examineBase(&compiler, public, fabric, base)
	after, lock, err := read(&compiler, fabric, next)
	if err != nil {
		return nil, err
	}
	c.Proposal = proposal.Weigh(before, after, lock)
	c.Keys = keysThatChange(before.Plan, after.Plan)
	return c, nil
}

// examineBase compiles what was before, if it is signed as it is compiled here.
func (c *Case) examineBase(compiler *compile.Compiler, public ed25519.PublicKey, fabric string, base Revision) proposal.Side {
	if base.Number == 0 {
		return proposal.Side{}
	}
	before, _, err := read(compiler, fabric, base)
	if err != nil {
		return proposal.Side{}
	}
	tree, err := grant.NewTree(before.Plan, base.Number, base.Until)
	if err != nil || !tree.Signed(public, base.Signature) {
		return proposal.Side{}
	}
	c.Known, c.was = true, before.Plan
	return before
}

// read compiles a revision.
func read(compiler *compile.Compiler, fabric string, r Revision) (proposal.Side, *state.Lock, error) {
	name := fmt.Sprintf("revision-%d.yaml", r.Number)
	in, problems := intent.Read(name, r.File)
	if in == nil {
		return proposal.Side{}, nil, problems
	}
	if in.Name != fabric {
		return proposal.Side{}, nil, fmt.Errorf("%s is of fabric %s, and not of %s", name, diag.Quote(in.Name), fabric)
	}
	lock, err := state.Parse(name+" lock", r.Lock)
	if err != nil {
		return proposal.Side{}, nil, fmt.Errorf("read the lock of revision %d: %w", r.Number, err)
	}
	p, lock := compiler.Compile(in, lock)
	return proposal.Side{Intent: in, Plan: p}, lock, nil
}

func keysThatChange(before, after *plan.Fabric) []Key {
	was := map[string]key.Public{}
	if before != nil {
		for _, g := range before.Gateways {
			was[g.Name] = keyOf(g)
		}
	}
	var out []Key
	for _, g := range after.Gateways {
		if is := keyOf(g); is != was[g.Name] {
			out = append(out, Key{g.Name, is, was[g.Name]})
		}
	}
	return out
}

// keyOf returns the key of a gateway's first device that has one; all of them have the same.
func keyOf(g *plan.Gateway) key.Public {
	for _, d := range g.Devices {
		if !d.PublicKey.IsZero() {
			return d.PublicKey
		}
	}
	return key.Public{}
}

// Sign signs the change.
func (c *Case) Sign(signer crypto.Signer) ([]byte, error) {
	return sign(signer, c.After, c.Number, 0)
}

// SignBack signs that what was before may come back under the number after the change's, until some time, in seconds since 1970.
func (c *Case) SignBack(signer crypto.Signer, until uint64) ([]byte, error) {
	if !c.Known {
		return nil, errors.New("sign the way back: what was before was not signed")
	}
	return sign(signer, c.was, c.Number+1, until)
}

func sign(signer crypto.Signer, p *plan.Fabric, number, until uint64) ([]byte, error) {
	tree, err := grant.NewTree(p, number, until)
	if err != nil {
		return nil, err
	}
	return tree.Sign(signer)
}
