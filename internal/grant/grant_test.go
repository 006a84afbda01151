package grant

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ropewayv1 "ropeway/api/ropeway/v1"
)

// authority is always the same, so that stories and fuzzing repeat.
func authority() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte("a"), 32)) }

func sample() *ropewayv1.Grant {
	return &ropewayv1.Grant{Fabric: "acme", Gateway: "use1-a", Epoch: 7, Plan: []byte("{}\n")}
}

func verifier(epoch uint64) Verifier {
	return Verifier{Authority: authority().Public().(ed25519.PublicKey), Fabric: "acme", Gateway: "use1-a", Epoch: epoch}
}

// signed signs bytes that Sign would not.
func signed(data []byte) *ropewayv1.SignedGrant {
	return &ropewayv1.SignedGrant{Grant: data, Signature: ed25519.Sign(authority(), append([]byte("ropeway grant v1\x00"), data...))}
}

func TestSignedAndOpened(t *testing.T) {
	s, err := Sign(authority(), sample())
	if err != nil {
		t.Fatal(err)
	}
	for _, held := range []uint64{0, 6} {
		g, err := verifier(held).Open(s)
		if err != nil || !proto.Equal(g, sample()) {
			t.Errorf("holding %d: %v, %v", held, g, err)
		}
	}
	again, err := Sign(authority(), sample())
	if err != nil || !proto.Equal(s, again) {
		t.Errorf("signed twice, and not the same: %v", err)
	}
	if want := signed(encode(sample())); !proto.Equal(s, want) {
		t.Error("what is signed is not the domain, a zero byte and the grant")
	}
}

// TestOpenRefuses: whatever is not right for this gateway, by its reason.
func TestOpenRefuses(t *testing.T) {
	good := encode(sample())
	change := func(edit func(*ropewayv1.Grant)) []byte {
		g := sample()
		edit(g)
		return encode(g)
	}
	foreignKey := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("b"), 32))
	for name, c := range map[string]struct {
		grant *ropewayv1.SignedGrant
		held  uint64
		want  error
	}{
		"nothing":                {nil, 0, ErrSignature},
		"an empty message":       {&ropewayv1.SignedGrant{}, 0, ErrSignature},
		"no signature":           {&ropewayv1.SignedGrant{Grant: good}, 0, ErrSignature},
		"half a signature":       {&ropewayv1.SignedGrant{Grant: good, Signature: signed(good).Signature[:32]}, 0, ErrSignature},
		"another's signature":    {&ropewayv1.SignedGrant{Grant: good, Signature: ed25519.Sign(foreignKey, message(good))}, 0, ErrSignature},
		"another domain":         {&ropewayv1.SignedGrant{Grant: good, Signature: ed25519.Sign(authority(), good)}, 0, ErrSignature},
		"a tampered plan":        {&ropewayv1.SignedGrant{Grant: bytes.Replace(good, []byte("{}"), []byte("[]"), 1), Signature: signed(good).Signature}, 0, ErrSignature},
		"a tampered epoch":       {&ropewayv1.SignedGrant{Grant: change(func(g *ropewayv1.Grant) { g.Epoch = 99 }), Signature: signed(good).Signature}, 8, ErrSignature},
		"another fabric":         {signed(change(func(g *ropewayv1.Grant) { g.Fabric = "evil" })), 0, ErrForeign},
		"another gateway":        {signed(change(func(g *ropewayv1.Grant) { g.Gateway = "use1-b" })), 0, ErrForeign},
		"the epoch held":         {signed(good), 7, ErrOld},
		"an older epoch":         {signed(good), 8, ErrOld},
		"the last epoch":         {signed(good), ^uint64(0), ErrOld},
		"nothing, signed":        {signed(nil), 0, ErrFormat},
		"no fabric":              {signed(change(func(g *ropewayv1.Grant) { g.Fabric = "" })), 0, ErrFormat},
		"no gateway":             {signed(change(func(g *ropewayv1.Grant) { g.Gateway = "" })), 0, ErrFormat},
		"no epoch":               {signed(change(func(g *ropewayv1.Grant) { g.Epoch = 0 })), 0, ErrFormat},
		"no plan":                {signed(change(func(g *ropewayv1.Grant) { g.Plan = nil })), 0, ErrFormat},
		"a hostile name":         {signed(change(func(g *ropewayv1.Grant) { g.Gateway = "a\n$(id)" })), 0, ErrFormat},
		"text that is not UTF-8": {signed(change(func(g *ropewayv1.Grant) { g.Gateway = "\xff" })), 0, ErrFormat},
		"an unknown field":       {signed(protowire.AppendVarint(protowire.AppendTag(bytes.Clone(good), 9, protowire.VarintType), 1)), 0, ErrFormat},
		"an epoch twice":         {signed(protowire.AppendVarint(protowire.AppendTag(bytes.Clone(good), 3, protowire.VarintType), 99)), 0, ErrFormat},
		"two grants":             {signed(append(bytes.Clone(good), good...)), 0, ErrFormat},
		"trailing bytes":         {signed(append(bytes.Clone(good), 0)), 0, ErrFormat},
		"a cut grant":            {signed(good[:len(good)-1]), 0, ErrFormat},
		"an empty field":         {signed(append(bytes.Clone(good), 0x22, 0)), 0, ErrFormat},
		"a long epoch":           {signed(bytes.Replace(good, []byte{0x18, 7}, []byte{0x18, 0x87, 0}, 1)), 0, ErrFormat},
	} {
		if g, err := verifier(c.held).Open(c.grant); !errors.Is(err, c.want) || g != nil {
			t.Errorf("%s: %v, %v, want %v", name, g, err, c.want)
		} else if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "\xff") {
			t.Errorf("%s: the error repeats what came in: %q", name, err)
		}
	}
}

func TestWhoKnowsNobodyTakesNothing(t *testing.T) {
	for name, v := range map[string]Verifier{
		"zero": {}, "no authority": {Fabric: "acme", Gateway: "use1-a"}, "half an authority": {Authority: make([]byte, 16), Fabric: "acme", Gateway: "use1-a"},
	} {
		if _, err := v.Open(signed(encode(sample()))); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	nameless := Verifier{Authority: verifier(0).Authority}
	if _, err := nameless.Open(signed(encode(sample()))); !errors.Is(err, ErrForeign) {
		t.Errorf("a gateway without a name: %v", err)
	}
}

func TestOversized(t *testing.T) {
	g := sample()
	g.Plan = make([]byte, MaxSize)
	if _, err := Sign(authority(), g); !errors.Is(err, ErrFormat) {
		t.Errorf("signed: %v", err)
	}
	if _, err := verifier(0).Open(&ropewayv1.SignedGrant{Grant: g.Plan}); !errors.Is(err, ErrSignature) {
		t.Errorf("as large as may be: %v", err)
	}
	if _, err := verifier(0).Open(&ropewayv1.SignedGrant{Grant: append(g.Plan, 0)}); !errors.Is(err, ErrFormat) {
		t.Errorf("a byte more: %v", err)
	}
}

// A new field of the message would be signed as if it were not there.
func TestEncodeKnowsEveryField(t *testing.T) {
	g := &ropewayv1.Grant{}
	fields := g.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		switch f := fields.Get(i); f.Kind() {
		case protoreflect.StringKind:
			g.ProtoReflect().Set(f, protoreflect.ValueOfString("x"))
		case protoreflect.BytesKind:
			g.ProtoReflect().Set(f, protoreflect.ValueOfBytes([]byte("y")))
		case protoreflect.Uint64Kind:
			g.ProtoReflect().Set(f, protoreflect.ValueOfUint64(1<<40))
		default:
			t.Fatalf("encode does not know fields such as %s", f.FullName())
		}
	}
	want, err := proto.MarshalOptions{Deterministic: true}.Marshal(g)
	if err != nil || !bytes.Equal(encode(g), want) {
		t.Errorf("encode writes %x, want %x (%v)", encode(g), want, err)
	}
	if len(encode(nil)) != 0 {
		t.Error("nothing is encoded as something")
	}
}

// A signer is what somebody else gives us: its answer is held against its own public key.
type signer struct {
	public crypto.PublicKey
	answer []byte
	err    error
}

func (s signer) Public() crypto.PublicKey { return s.public }

func (s signer) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return s.answer, s.err }

func TestSignersThatFail(t *testing.T) {
	ecdsaKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	locked := errors.New("locked")
	for name, s := range map[string]crypto.Signer{
		"another kind of key": ecdsaKey,
		"another key":         signer{public: verifier(0).Authority, answer: ed25519.Sign(ed25519.NewKeyFromSeed(make([]byte, 32)), message(encode(sample())))},
		"no answer":           signer{public: verifier(0).Authority},
		"half a public key":   signer{public: verifier(0).Authority[:16], answer: make([]byte, 64)},
	} {
		if s, err := Sign(s, sample()); err == nil || s != nil {
			t.Errorf("%s: signed", name)
		}
	}
	if _, err := Sign(signer{public: verifier(0).Authority, err: locked}, sample()); !errors.Is(err, locked) {
		t.Errorf("a locked signer: %v", err)
	}
	for name, g := range map[string]*ropewayv1.Grant{"nothing": nil, "blank": {}, "no epoch": {Fabric: "acme", Gateway: "use1-a", Plan: []byte("x")}} {
		if _, err := Sign(authority(), g); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzOpen opens arbitrary bytes, signed and unsigned: what is opened is right in everything and has no other encoding.
func FuzzOpen(f *testing.F) {
	f.Add(encode(sample()), []byte{}, uint64(0))
	f.Add(append(encode(sample()), 0x48, 1), []byte{}, uint64(6))
	f.Add([]byte{}, make([]byte, 64), uint64(7))
	f.Fuzz(func(t *testing.T, data, signature []byte, held uint64) {
		if _, err := verifier(held).Open(&ropewayv1.SignedGrant{Grant: data, Signature: signature}); !errors.Is(err, ErrSignature) {
			t.Fatalf("taken without a signature: %v", err)
		}
		g, err := verifier(held).Open(signed(data))
		switch {
		case err == nil && (g.Fabric != "acme" || g.Gateway != "use1-a" || g.Epoch <= held || len(g.Plan) == 0 || !bytes.Equal(encode(g), data)):
			t.Errorf("%x was opened as %v", data, g)
		case err != nil && g != nil:
			t.Errorf("%x is refused, and opened all the same", data)
		case err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrOld):
			t.Errorf("%x: %v", data, err)
		}
	})
}
