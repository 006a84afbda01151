package audit

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// A Tree is the right edge of a Merkle tree: what has to be known of all leaves to append another one and to say the root. The zero value is
// the tree of no leaves.
type Tree struct {
	Size int64       `json:"size"` // leaves
	Edge []tlog.Hash `json:"edge"` // the roots of its complete subtrees, the largest and oldest first: one for each bit that is set in Size
}

// Append adds a leaf. It changes nothing that another Tree shares.
func (t *Tree) Append(leaf []byte) {
	h := tlog.RecordHash(leaf)
	edge := slices.Clone(t.Edge)
	for range bits.TrailingZeros64(^uint64(t.Size)) { // every subtree at the edge that this leaf completes
		h = tlog.NodeHash(edge[len(edge)-1], h)
		edge = edge[:len(edge)-1]
	}
	t.Size, t.Edge = t.Size+1, append(edge, h)
}

// Root returns the hash of the whole tree (RFC 6962, section 2.1).
func (t *Tree) Root() tlog.Hash {
	if t.Size == 0 {
		empty, _ := tlog.TreeHash(0, nil) // reads nothing
		return empty
	}
	h := t.Edge[len(t.Edge)-1]
	for i := len(t.Edge) - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.Edge[i], h)
	}
	return h
}

// Check refuses what is no edge. It is to be asked of a tree that was read.
func (t *Tree) Check() error {
	if t.Size < 0 {
		return errors.New("a tree of less than no leaves")
	}
	if n := bits.OnesCount64(uint64(t.Size)); len(t.Edge) != n {
		return fmt.Errorf("the edge of a tree of %d leaves has %d hashes, and not %d", t.Size, n, len(t.Edge))
	}
	return nil
}
