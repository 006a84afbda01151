package audit

import (
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// whole is a log with every hash of its tree, as package tlog keeps them.
type whole struct{ hashes []tlog.Hash }

func (w *whole) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = w.hashes[x]
	}
	return out, nil
}

func (w *whole) append(t *testing.T, n int64, leaf []byte) {
	t.Helper()
	more, err := tlog.StoredHashes(n, leaf, w)
	if err != nil {
		t.Fatal(err)
	}
	w.hashes = append(w.hashes, more...)
}

// The edge says of every size the root that the whole tree has; so the proofs of package tlog hold for it, of inclusion and of consistency.
func TestTheEdgeIsEnough(t *testing.T) {
	const most = 260
	var tree Tree
	var w whole
	roots := []tlog.Hash{tree.Root()}
	for n := range int64(most) {
		leaf := fmt.Appendf(nil, "leaf %d", n)
		before, root := tree, tree.Root()
		tree.Append(leaf)
		w.append(t, n, leaf)
		if before.Root() != root {
			t.Fatalf("appending to %d leaves changed the tree before", n)
		}
		want, err := tlog.TreeHash(n+1, &w)
		if err != nil || tree.Root() != want || tree.Check() != nil || tree.Size != n+1 {
			t.Fatalf("%d leaves: root %s, want %s; %v, %v", n+1, tree.Root(), want, err, tree.Check())
		}
		roots = append(roots, tree.Root())
	}
	r := chance(1)
	for range 500 {
		n := 1 + r.Int64N(most)
		old := 1 + r.Int64N(n)
		proof, err := tlog.ProveTree(n, old, &w)
		if err != nil || tlog.CheckTree(proof, n, roots[n], old, roots[old]) != nil {
			t.Fatalf("a tree of %d is not within that of %d: %v", old, n, err)
		}
		leaf := r.Int64N(n)
		inclusion, err := tlog.ProveRecord(n, leaf, &w)
		if err != nil || tlog.CheckRecord(inclusion, n, roots[n], leaf, tlog.RecordHash(fmt.Appendf(nil, "leaf %d", leaf))) != nil {
			t.Fatalf("leaf %d is not within the tree of %d: %v", leaf, n, err)
		}
	}
}

// A tree can be put down at any size and taken up again.
func TestATreeGoesOnFromItsEdge(t *testing.T) {
	var all Tree
	for n := range 100 {
		rest := Tree{all.Size, append([]tlog.Hash(nil), all.Edge...)}
		end := all
		for m := n; m < 100; m++ {
			rest.Append(fmt.Append(nil, m))
			end.Append(fmt.Append(nil, m))
		}
		if rest.Root() != end.Root() {
			t.Fatalf("from %d leaves on it is another one", n)
		}
		all.Append(fmt.Append(nil, n))
	}
	for _, bad := range []Tree{{Size: -1}, {Size: 1}, {Size: 3, Edge: make([]tlog.Hash, 1)}, {Size: 0, Edge: make([]tlog.Hash, 1)}} {
		if bad.Check() == nil {
			t.Errorf("%v is taken for an edge", bad)
		}
	}
}
