package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/compile"
	"ropeway/internal/diag"
	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/proposal"
	"ropeway/internal/state"
)

// A version is a revision of the fabric, with what it means. Plans follow from a file and a lock, so they are made here: looking at a fabric, however
// often and however many do, costs the controller no more than handing out two files.
type version struct {
	number       uint64 // 0: before the first one
	at           time.Time
	author, kind string
	reason       string
	override     []string
	file         []byte
	lock         *state.Lock
	side         proposal.Side
	changes      []string // what it changed, where that was asked for
}

// version returns a revision, the newest for 0. The compiler should be the one of revisions near it: what did not change is not compiled again.
func (r *remote) version(ctx context.Context, number uint64, c *compile.Compiler) (*version, error) {
	answer, err := r.fabric.GetRevision(ctx, &ropewayv1.GetRevisionRequest{Number: number})
	if connect.CodeOf(err) == connect.CodeNotFound {
		return nil, noRevision(number)
	}
	if err != nil {
		return nil, err
	}
	v := versionOf(answer.Revision)
	v.file = answer.File
	name := fileOf(v)
	in, problems := intent.Read(name, answer.File)
	if in == nil {
		return nil, fmt.Errorf("read revision %d, which an other version of Ropeway wrote: %w", v.number, problems)
	}
	if v.lock, err = state.Parse(name+" lock", answer.Lock); err != nil {
		return nil, fmt.Errorf("read the lock of revision %d: %w", v.number, err)
	}
	v.side.Intent = in
	v.side.Plan, _ = c.Compile(in, v.lock)
	return v, nil
}

func noRevision(number uint64) error {
	if number == 0 {
		return problem("RW7504", "fabric", "the controller keeps none yet", "apply one: ropeway apply FILE")
	}
	return problem("RW7503", fmt.Sprintf("revision %d", number), "there is no such revision", "ropeway history lists those that there are")
}

func versionOf(x *ropewayv1.Revision) *version {
	return &version{number: x.Number, at: x.At.AsTime(), author: x.Author, kind: x.Kind, reason: x.Reason, override: x.Override}
}

// before returns the revision before one, which is nothing before the first. Numbers jump where a fabric was restored.
func (r *remote) before(ctx context.Context, v *version, c *compile.Compiler) (*version, error) {
	answer, err := r.fabric.ListRevisions(ctx, &ropewayv1.ListRevisionsRequest{Limit: 1, Before: v.number})
	if err != nil || v.number == 1 { // before 0 means the newest
		return &version{}, err
	}
	if len(answer.Revisions) == 0 && answer.Pruned > 0 {
		return nil, beforePruned(v.number, answer.Pruned)
	}
	if len(answer.Revisions) == 0 {
		return &version{}, nil
	}
	return r.version(ctx, answer.Revisions[0].Number, c)
}

// codePruned is that of revisions that were old and are gone.
const codePruned diag.Code = "RW7508"

func beforePruned(number, gone uint64) error {
	return problem(codePruned, fmt.Sprintf("revision %d", number), fmt.Sprintf("what it changed cannot be said: those up to revision %d were old, and are gone", gone), "ropeway show prints its file")
}

func isPruned(err error) bool {
	var p diag.Problem
	return errors.As(err, &p) && p.Code == codePruned
}

// since returns the revisions that followed one, the oldest first, each with what it changed: the last ones where there are too many, and whether there
// are.
func (r *remote) since(ctx context.Context, base uint64, most int) (list []*version, more bool, err error) {
	answer, err := r.fabric.ListRevisions(ctx, &ropewayv1.ListRevisionsRequest{Limit: uint32(most) + 1}) //nolint:gosec // a small constant
	if err != nil {
		return nil, false, err
	}
	came := slices.DeleteFunc(answer.Revisions, func(x *ropewayv1.Revision) bool { return x.Number <= base })
	if more = len(came) > most; more {
		came = came[:most]
	}
	slices.Reverse(came)
	list, err = r.withChanges(ctx, came)
	return list, more, err
}

// withChanges finds out what each of some revisions, the oldest first and one after the other, changed.
func (r *remote) withChanges(ctx context.Context, list []*ropewayv1.Revision) ([]*version, error) {
	var out []*version
	var c compile.Compiler
	var last *version
	for _, x := range list {
		v, err := r.version(ctx, x.Number, &c)
		if err != nil {
			return nil, err
		}
		if last == nil {
			last, err = r.before(ctx, v, new(compile.Compiler))
			if isPruned(err) {
				v.changes = []string{"nobody can say: the one before it is gone"}
				out, last = append(out, v), v
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		v.changes = changesBetween(last, v)
		out, last = append(out, v), v
	}
	return out, nil
}

// changesBetween says in a few words how two revisions differ.
func changesBetween(a, b *version) []string {
	d := plan.Compare(a.side.Plan, b.side.Plan)
	var out []string
	for _, of := range []struct {
		action plan.Action
		word   string
	}{{plan.Add, "added"}, {plan.Alter, "changed"}, {plan.Remove, "removed"}} {
		var names []string
		for _, g := range d.Gateways {
			if g.Action == of.action {
				names = append(names, g.Name)
			}
		}
		if len(names) > 0 {
			out = append(out, fmt.Sprintf("%s %s: %s", count(len(names), "gateway"), of.word, some(names)))
		}
	}
	switch {
	case len(out) > 0:
	case !d.Empty():
		out = append(out, "only routes of places")
	case string(a.file) != string(b.file):
		out = append(out, "only words of the file, and no gateway")
	default:
		out = append(out, "nothing")
	}
	return out
}

// compareVersions returns what came from one revision to another, and the proof of the second.
func compareVersions(a, b *version) *shown {
	var c compile.Compiler
	if a.side.Intent != nil {
		a.side.Plan, _ = c.Compile(a.side.Intent, a.lock)
	}
	p := proposal.Make(&c, a.side, b.side.Intent, b.lock)
	return &shown{Proposal: p, between: fmt.Sprintf("revision %d → %d", a.number, b.number), words: wordsBetween(a, b)}
}

// parseRevision reads the number of a revision.
func parseRevision(text string) (uint64, error) {
	var n uint64
	if _, err := fmt.Sscanf(text+"\n", "%d\n", &n); err != nil || n == 0 || fmt.Sprint(n) != text {
		return 0, problem("RW6001", "revision "+diag.Quote(text), "it is no number of a revision", "revisions are numbered from 1: ropeway history")
	}
	return n, nil
}
