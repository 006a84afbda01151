// Package grant is what the authority signs for a gateway, and what the gateway takes for signed.
//
// A grant is a plan with the name of its fabric and its gateway, and an epoch. The signature is over its bytes as they travel, and they
// are opened only once it holds. Beside the signature three things must be right: fabric and gateway are the receiver's own, the epoch
// is higher than every one that it followed before, and the bytes are the one encoding of what they say (see encode). So whoever
// carries grants may withhold one, and can do nothing else: no peer is added, no prefix widened, no old plan brought back.
//
// Signer and verifier are apart, and the signer is a crypto.Signer. Where a controller has the key it signs each grant for itself (Sign). Where the key is
// with an SSH agent or a KMS, out of a controller's reach, one signature is over all grants of an epoch (Tree), and each grant shows that it is one of
// them. For a gateway the two are alike.
//
// A grant may lapse: then it is not taken any more, and whoever took it before keeps it. The plan inside is not looked into; plan.Decode does that, and
// its gateway is to be compared with the grant's.
package grant

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/diag"
	"ropeway/internal/fabric"
)

// Bounds, in bytes.
const (
	MaxSize   = 64 << 20 // of a grant: as much as an agent reads of a plan file (RW4002)
	MaxSigned = MaxSize + maxPath + 1<<10
	maxPath   = 64 * 32 // of the way through a tree: a hash for each level, and more than there are
)

// lastUntil is the end of the year 9999, in seconds since 1970.
const lastUntil = 253402300799

// domain goes before the bytes that are signed, so that a signature of the same key over anything else is none over a grant.
const domain = "ropeway grant v1\x00"

// Why a grant is not followed. Test with errors.Is.
var (
	ErrSignature = errors.New("it is not signed by the authority that this gateway was enrolled with")
	ErrFormat    = errors.New("it is not a grant as the authority writes it")
	ErrForeign   = errors.New("it is for somebody else")
	ErrOld       = errors.New("its epoch is not higher than that of the grant held")
	ErrLapsed    = errors.New("it has lapsed")
)

// Sign encodes and signs a grant: the same grant and key give the same bytes. It refuses what Open would.
func Sign(signer crypto.Signer, g *ropewayv1.Grant) (*ropewayv1.SignedGrant, error) {
	data := encode(g)
	if err := check(g, len(data)); err != nil {
		return nil, fmt.Errorf("sign a grant: %w", err)
	}
	signature, err := sign(signer, message(data))
	if err != nil {
		return nil, fmt.Errorf("sign a grant for gateway %s: %w", g.GetGateway(), err)
	}
	return &ropewayv1.SignedGrant{Grant: data, Signature: signature}, nil
}

// sign returns the signature over a message. That a signer answers with another key's is an error: one far away may hold another by now.
func sign(signer crypto.Signer, message []byte) ([]byte, error) {
	public, ok := signer.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the authority's key is a %T, and must be Ed25519", signer.Public())
	}
	signature, err := signer.Sign(nil, message, crypto.Hash(0)) // Ed25519 takes the message itself, and needs no random bytes
	if err != nil {
		return nil, err
	}
	if !valid(public, message, signature) {
		return nil, errors.New("the signer's answer is no signature of its public key")
	}
	return signature, nil
}

// A Verifier is what a gateway knows when a grant comes in. The zero value takes none.
type Verifier struct {
	Authority       ed25519.PublicKey // pinned when the gateway was enrolled
	Fabric, Gateway string            // its own
	Epoch           uint64            // the highest that was followed; 0 for none
	Now             uint64            // when the grant is taken, in seconds since 1970; 0 where it is read once more that was taken before: that one does not lapse
}

// Open returns what was signed, or why it is not to be followed: ErrSignature, ErrFormat, ErrForeign, ErrOld or ErrLapsed. The epoch held is old, too.
func (v Verifier) Open(s *ropewayv1.SignedGrant) (*ropewayv1.Grant, error) {
	data := s.GetGrant()
	if len(data) > MaxSize {
		return nil, fmt.Errorf("open a grant: %w: more than %d bytes", ErrFormat, MaxSize)
	}
	if !signedBy(v.Authority, s) {
		return nil, fmt.Errorf("open a grant: %w", ErrSignature)
	}
	g, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("open a grant: %w", err)
	}
	switch {
	case g.GetFabric() != v.Fabric || g.GetGateway() != v.Gateway:
		return nil, fmt.Errorf("open a grant: %w: gateway %s of fabric %s, and this is %s of %s",
			ErrForeign, g.GetGateway(), g.GetFabric(), diag.Quote(v.Gateway), diag.Quote(v.Fabric))
	case g.GetEpoch() <= v.Epoch:
		return nil, fmt.Errorf("open a grant: %w: %d, and %d is held", ErrOld, g.GetEpoch(), v.Epoch)
	case g.GetUntil() != 0 && v.Now > g.GetUntil():
		return nil, fmt.Errorf("open a grant: %w, %d seconds ago", ErrLapsed, v.Now-g.GetUntil())
	}
	return g, nil
}

// message is what is signed.
func message(data []byte) []byte { return append([]byte(domain), data...) }

// signedBy reports whether the authority signed a grant: for itself, or with all others of its epoch.
func signedBy(public ed25519.PublicKey, s *ropewayv1.SignedGrant) bool {
	if s.GetSize() != 0 {
		return inTree(public, s)
	}
	return len(s.GetRoot()) == 0 && len(s.GetPath()) == 0 && s.GetIndex() == 0 && valid(public, message(s.GetGrant()), s.GetSignature())
}

func valid(public ed25519.PublicKey, message, signature []byte) bool {
	return len(public) == ed25519.PublicKeySize && ed25519.Verify(public, message, signature) // which panics at another size
}

// decode takes nothing but what encode writes: no unknown field, no field twice, nothing after the end.
func decode(data []byte) (*ropewayv1.Grant, error) {
	var g ropewayv1.Grant
	if err := proto.Unmarshal(data, &g); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if !bytes.Equal(encode(&g), data) {
		return nil, fmt.Errorf("%w: it holds something unknown, twice, or in another order", ErrFormat)
	}
	if err := check(&g, len(data)); err != nil {
		return nil, err
	}
	return &g, nil
}

// check refuses blanks, and names that nobody has.
func check(g *ropewayv1.Grant, size int) error {
	switch {
	case !fabric.ValidName(g.GetFabric()) || !fabric.ValidName(g.GetGateway()):
		return fmt.Errorf("%w: fabric %s and gateway %s are not both names", ErrFormat, diag.Quote(g.GetFabric()), diag.Quote(g.GetGateway()))
	case g.GetEpoch() == 0:
		return fmt.Errorf("%w: it has no epoch", ErrFormat)
	case len(g.GetPlan()) == 0:
		return fmt.Errorf("%w: it has no plan", ErrFormat)
	case g.GetUntil() > lastUntil:
		return fmt.Errorf("%w: no clock shows when it lapses", ErrFormat)
	case size > MaxSize:
		return fmt.Errorf("%w: more than %d bytes", ErrFormat, MaxSize)
	}
	return nil
}
