package grant

import (
	"crypto"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/plan"
)

// A Tree is all that is granted at one epoch, under one signature: where the key is with a person, an SSH agent or a KMS, it signs once for a thousand
// gateways. It is a Merkle tree (RFC 6962, section 2.1) whose leaves are grants, in the order of the plan. Its hashes are all that it holds, so
// signer and controller each make it of the same plan, and no grant has to travel but to its gateway.
type Tree struct {
	fabric       string
	epoch, until uint64
	hashes       []tlog.Hash // as package tlog numbers them
	root         tlog.Hash
	leaves       map[string]int64
}

// treeDomain goes before what is signed of a tree, as domain does before a grant.
const treeDomain = "ropeway grants v1\x00"

// NewTree makes the tree of a plan at an epoch. until is when its grants lapse, in seconds since 1970; 0: never.
func NewTree(p *plan.Fabric, epoch, until uint64) (*Tree, error) {
	t := &Tree{fabric: p.Name, epoch: epoch, until: until, leaves: make(map[string]int64, len(p.Gateways))}
	hashes := make([]tlog.Hash, len(p.Gateways))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, g := range p.Gateways {
		t.leaves[g.Name] = int64(i)
		group.Go(func() (err error) {
			_, hashes[i], err = t.leaf(g)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, h := range hashes {
		more, err := tlog.StoredHashesForRecordHash(int64(i), h, t)
		if err != nil {
			return nil, fmt.Errorf("make the tree of grants: %w", err)
		}
		t.hashes = append(t.hashes, more...)
	}
	var err error
	if t.root, err = tlog.TreeHash(int64(len(hashes)), t); err != nil {
		return nil, fmt.Errorf("hash the tree of grants: %w", err)
	}
	return t, nil
}

// ReadHashes implements tlog.HashReader.
func (t *Tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		if at < 0 || at >= int64(len(t.hashes)) {
			return nil, errors.New("the tree has no such hash")
		}
		out[i] = t.hashes[at]
	}
	return out, nil
}

// leaf encodes the grant of a gateway.
func (t *Tree) leaf(g *plan.Gateway) (data []byte, hash tlog.Hash, err error) {
	document, err := plan.Encode(t.fabric, g)
	if err != nil {
		return nil, hash, err
	}
	granted := &ropewayv1.Grant{Fabric: t.fabric, Gateway: g.Name, Epoch: t.epoch, Plan: document, Until: t.until}
	data = encode(granted)
	if err := check(granted, len(data)); err != nil {
		return nil, hash, fmt.Errorf("grant gateway %s its plan: %w", g.Name, err)
	}
	return data, tlog.RecordHash(data), nil
}

func (t *Tree) size() uint64 { return uint64(len(t.leaves)) }

func (t *Tree) message() []byte { return treeMessage(t.size(), t.root) }

// Sign returns the signature over all grants of the tree.
func (t *Tree) Sign(signer crypto.Signer) ([]byte, error) {
	signature, err := sign(signer, t.message())
	if err != nil {
		return nil, fmt.Errorf("sign the grants of epoch %d: %w", t.epoch, err)
	}
	return signature, nil
}

// Signed reports whether a signature is the authority's over all grants of the tree.
func (t *Tree) Signed(public ed25519.PublicKey, signature []byte) bool {
	return valid(public, t.message(), signature)
}

// Wrap returns the grant of a gateway with the signature over the tree and the way from the one to the other.
func (t *Tree) Wrap(g *plan.Gateway, signature []byte) (*ropewayv1.SignedGrant, error) {
	index, there := t.leaves[g.Name]
	data, hash, err := t.leaf(g)
	if err != nil {
		return nil, err
	}
	if !there || t.hashes[tlog.StoredHashIndex(0, index)] != hash {
		return nil, fmt.Errorf("gateway %s: its plan is none of those that were signed", g.Name)
	}
	proof, err := tlog.ProveRecord(int64(t.size()), index, t)
	if err != nil {
		return nil, fmt.Errorf("gateway %s: find the way through the tree of grants: %w", g.Name, err)
	}
	s := &ropewayv1.SignedGrant{Grant: data, Signature: signature, Size: t.size(), Root: t.root[:], Index: uint64(index)}
	for _, h := range proof {
		s.Path = append(s.Path, h[:]...)
	}
	return s, nil
}

// inTree reports whether a grant is one of a tree that the authority signed.
func inTree(public ed25519.PublicKey, s *ropewayv1.SignedGrant) bool {
	const most = 1 << 32 // gateways; package tlog counts in int64
	path := s.GetPath()
	if s.GetSize() > most || s.GetIndex() >= s.GetSize() || len(s.GetRoot()) != tlog.HashSize || len(path)%tlog.HashSize != 0 || len(path) > maxPath {
		return false
	}
	root := tlog.Hash(s.GetRoot())
	if !valid(public, treeMessage(s.GetSize(), root), s.GetSignature()) {
		return false
	}
	var proof tlog.RecordProof
	for ; len(path) > 0; path = path[tlog.HashSize:] {
		proof = append(proof, tlog.Hash(path[:tlog.HashSize]))
	}
	return tlog.CheckRecord(proof, int64(s.GetSize()), root, int64(s.GetIndex()), tlog.RecordHash(s.GetGrant())) == nil
}

func treeMessage(size uint64, root tlog.Hash) []byte {
	return append(binary.BigEndian.AppendUint64([]byte(treeDomain), size), root[:]...)
}
