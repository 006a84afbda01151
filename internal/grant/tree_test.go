package grant

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/plan"
)

// fabricOf has so many gateways, gw0 first, that listen at the port.
func fabricOf(n int, port uint16) *plan.Fabric {
	f := &plan.Fabric{Name: "acme"}
	for i := range n {
		f.Gateways = append(f.Gateways, &plan.Gateway{Name: fmt.Sprint("gw", i), Place: "p", Devices: []plan.Device{{Name: "rw0", ListenPort: port, MTU: 1420}}})
	}
	return f
}

func treeOf(t testing.TB, f *plan.Fabric, epoch, until uint64) (*Tree, []byte) {
	t.Helper()
	tree, err := NewTree(f, epoch, until)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := tree.Sign(authority())
	if err != nil {
		t.Fatal(err)
	}
	return tree, signature
}

func of(gateway string) Verifier {
	return Verifier{Authority: authority().Public().(ed25519.PublicKey), Fabric: "acme", Gateway: gateway, Epoch: 6}
}

// TestOneSignatureForAll: each gateway of fabrics of any size opens its own, and nobody else's.
func TestOneSignatureForAll(t *testing.T) {
	for n := 1; n <= 17; n++ {
		f := fabricOf(n, 51820)
		tree, signature := treeOf(t, f, 7, 0)
		if !tree.Signed(of("").Authority, signature) || tree.Signed(of("").Authority[:16], signature) {
			t.Errorf("%d gateways: the signature is not judged right", n)
		}
		for _, g := range f.Gateways {
			s, err := tree.Wrap(g, signature)
			if err != nil {
				t.Fatal(err)
			}
			want, err := plan.Encode("acme", g)
			if err != nil {
				t.Fatal(err)
			}
			got, err := of(g.Name).Open(s)
			if err != nil || got.Epoch != 7 || !bytes.Equal(got.Plan, want) {
				t.Errorf("gateway %s of %d: %v, %v", g.Name, n, got, err)
			}
			if _, err := of("another").Open(s); !errors.Is(err, ErrForeign) {
				t.Errorf("gateway %s of %d, opened by another: %v", g.Name, n, err)
			}
			again := of(g.Name)
			again.Epoch = 7
			if _, err := again.Open(s); !errors.Is(err, ErrOld) {
				t.Errorf("gateway %s of %d, opened twice: %v", g.Name, n, err)
			}
		}
	}
}

// TestTreeRefuses: whatever somebody without the key can make of what he has seen signed is no grant.
func TestTreeRefuses(t *testing.T) {
	f, evil := fabricOf(5, 51820), fabricOf(5, 666)
	tree, signature := treeOf(t, f, 7, 0)
	other, otherSignature := treeOf(t, f, 8, 0)
	forged, err := NewTree(evil, 7, 0)
	if err != nil {
		t.Fatal(err)
	}
	wrap := func(tree *Tree, g *plan.Gateway, signature []byte) *ropewayv1.SignedGrant {
		s, err := tree.Wrap(g, signature)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	bad := wrap(forged, evil.Gateways[1], signature)
	for name, spoil := range map[string]func(s *ropewayv1.SignedGrant){
		"another plan":             func(s *ropewayv1.SignedGrant) { s.Grant = bad.Grant },
		"a forged tree":            func(s *ropewayv1.SignedGrant) { proto.Reset(s); proto.Merge(s, bad) },
		"a forged plan and root":   func(s *ropewayv1.SignedGrant) { s.Grant, s.Root, s.Path = bad.Grant, bad.Root, bad.Path },
		"another's place":          func(s *ropewayv1.SignedGrant) { s.Index = 2 },
		"a place past the end":     func(s *ropewayv1.SignedGrant) { s.Index = 5 },
		"another size":             func(s *ropewayv1.SignedGrant) { s.Size = 6 },
		"no size":                  func(s *ropewayv1.SignedGrant) { s.Size = 0 },
		"an absurd size":           func(s *ropewayv1.SignedGrant) { s.Size = 1 << 63 },
		"a shorter way":            func(s *ropewayv1.SignedGrant) { s.Path = s.Path[32:] },
		"a longer way":             func(s *ropewayv1.SignedGrant) { s.Path = append(s.Path, make([]byte, 32)...) },
		"an endless way":           func(s *ropewayv1.SignedGrant) { s.Path = make([]byte, 1<<20) },
		"half a hash":              func(s *ropewayv1.SignedGrant) { s.Path = s.Path[:40] },
		"another way":              func(s *ropewayv1.SignedGrant) { s.Path = wrap(tree, f.Gateways[2], signature).Path },
		"no root":                  func(s *ropewayv1.SignedGrant) { s.Root = nil },
		"another epoch's":          func(s *ropewayv1.SignedGrant) { s.Signature = otherSignature },
		"another epoch's grant":    func(s *ropewayv1.SignedGrant) { s.Grant = wrap(other, f.Gateways[1], otherSignature).Grant },
		"a grant's own signature":  func(s *ropewayv1.SignedGrant) { s.Signature = signed(s.Grant).Signature },
		"the leaf's inner node":    func(s *ropewayv1.SignedGrant) { s.Grant = append([]byte{1}, s.Path[:32]...) },
		"signed for itself, in it": func(s *ropewayv1.SignedGrant) { s.Size, s.Signature = 0, signed(s.Grant).Signature },
	} {
		s := proto.CloneOf(wrap(tree, f.Gateways[1], signature))
		spoil(s)
		if g, err := of("gw1").Open(s); !errors.Is(err, ErrSignature) || g != nil {
			t.Errorf("%s: %v, %v", name, g, err)
		}
	}
	if _, err := tree.Wrap(evil.Gateways[1], signature); err == nil {
		t.Error("a plan that is not of the tree was wrapped")
	}
	if tree.Signed(of("").Authority, otherSignature) || forged.Signed(of("").Authority, signature) {
		t.Error("another tree's signature is taken")
	}
}

// TestLapse: a grant that lapses is taken until then, and read again for ever.
func TestLapse(t *testing.T) {
	f := fabricOf(2, 51820)
	tree, signature := treeOf(t, f, 7, 1_000_000)
	s, err := tree.Wrap(f.Gateways[0], signature)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[uint64]error{999_999: nil, 1_000_000: nil, 1_000_001: ErrLapsed} {
		v := of("gw0")
		v.Now = at
		if _, err := v.Open(s); !errors.Is(err, want) {
			t.Errorf("at %d: %v, want %v", at, err, want)
		}
	}
	if _, err := of("gw0").Open(s); err != nil {
		t.Errorf("read again: %v", err)
	}
	if _, err := NewTree(f, 7, 1<<62); !errors.Is(err, ErrFormat) {
		t.Errorf("lapses beyond all clocks: %v", err)
	}
}

func TestTreeSignersThatFail(t *testing.T) {
	tree, _ := treeOf(t, fabricOf(3, 51820), 7, 0)
	for name, s := range map[string]signer{
		"another key": {public: of("").Authority, answer: ed25519.Sign(ed25519.NewKeyFromSeed(make([]byte, 32)), []byte("x"))},
		"no answer":   {public: of("").Authority},
		"no key":      {},
		"locked":      {public: of("").Authority, err: errors.New("locked")},
	} {
		if signature, err := tree.Sign(s); err == nil || signature != nil {
			t.Errorf("%s: signed", name)
		}
	}
}

// FuzzInTree: nothing that was not signed is in a tree, whatever way is shown.
func FuzzInTree(f *testing.F) {
	plans := fabricOf(3, 51820)
	tree, signature := treeOf(f, plans, 7, 0)
	s, err := tree.Wrap(plans.Gateways[1], signature)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Grant, s.Root, s.Path, s.Size, s.Index)
	f.Fuzz(func(t *testing.T, data, root, path []byte, size, index uint64) {
		g, err := of("gw1").Open(&ropewayv1.SignedGrant{Grant: data, Signature: signature, Root: root, Path: path, Size: size, Index: index})
		if err == nil && (size != s.Size || index != s.Index || !bytes.Equal(data, s.Grant) || g.Gateway != "gw1") {
			t.Errorf("opened %x", data)
		}
	})
}
