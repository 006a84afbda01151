package seal

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"testing"

	"ropeway/internal/compile"
	"ropeway/internal/grant"
	"ropeway/internal/intent"
	"ropeway/internal/key"
	"ropeway/internal/state"
)

func owner() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte("o"), 32)) }

func public() ed25519.PublicKey { return owner().Public().(ed25519.PublicKey) }

func file(ports string) []byte {
	return fmt.Appendf(nil, `apiVersion: ropeway/v1
kind: Fabric
metadata: {name: shop}
spec:
  topology: {mode: mesh}
  regions:
    - {name: east, prefixes: [10.1.0.0/24], gateways: [{name: gw1, endpoint: 192.0.2.1}]}
    - {name: west, prefixes: [10.2.0.0/24], gateways: [{name: gw2, endpoint: 192.0.2.2}]}
  access: [{from: region/east, to: region/west, ports: [%s]}]
`, ports)
}

func keyOfSeed(seed byte) key.Public {
	return key.PublicFromBytes([key.Size]byte(bytes.Repeat([]byte{seed}, key.Size)))
}

// revision is one as a controller makes it, with keys of gateways; not signed yet.
func revision(t *testing.T, number uint64, text []byte, keys map[string]key.Public) Revision {
	t.Helper()
	in, problems := intent.Read("shop.yaml", text)
	if in == nil {
		t.Fatal(problems)
	}
	lock := &state.Lock{Fabric: "shop"}
	for name, k := range keys {
		lock = lock.With(name, k)
	}
	var c compile.Compiler
	_, lock = c.Compile(in, lock)
	out, err := lock.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return Revision{Number: number, File: text, Lock: out}
}

func examine(t *testing.T, base, next Revision) *Case {
	t.Helper()
	c, err := Examine(public(), "shop", base, next)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sealed is a revision with the owner's signature.
func sealed(t *testing.T, r Revision) Revision {
	t.Helper()
	s, err := examine(t, Revision{}, r).Sign(owner())
	if err != nil {
		t.Fatal(err)
	}
	r.Signature = s
	return r
}

func TestExamine(t *testing.T) {
	keys := map[string]key.Public{"gw1": keyOfSeed(1), "gw2": keyOfSeed(2)}
	base := sealed(t, revision(t, 7, file("tcp/443"), keys))
	for name, tt := range map[string]struct {
		keys    map[string]key.Public
		ports   string
		spoil   func(*Revision)
		known   bool
		changed bool
		want    []Key
	}{
		"nothing":            {keys, "tcp/443", nil, true, false, nil},
		"a wider file":       {keys, "tcp/443, tcp/80", nil, true, true, nil},
		"another key":        {map[string]key.Public{"gw1": keyOfSeed(1), "gw2": keyOfSeed(9)}, "tcp/443", nil, true, true, []Key{{"gw2", keyOfSeed(9), keyOfSeed(2)}}},
		"a key less":         {map[string]key.Public{"gw1": keyOfSeed(1)}, "tcp/443", nil, true, true, []Key{{"gw2", key.Public{}, keyOfSeed(2)}}},
		"base: other file":   {keys, "tcp/443", func(r *Revision) { r.File = file("tcp/22") }, false, true, []Key{{Gateway: "gw1", Is: keyOfSeed(1)}, {Gateway: "gw2", Is: keyOfSeed(2)}}},
		"base: other number": {keys, "tcp/443", func(r *Revision) { r.Number = 6 }, false, true, []Key{{Gateway: "gw1", Is: keyOfSeed(1)}, {Gateway: "gw2", Is: keyOfSeed(2)}}},
		"base: not signed":   {keys, "tcp/443", func(r *Revision) { r.Signature = nil }, false, true, []Key{{Gateway: "gw1", Is: keyOfSeed(1)}, {Gateway: "gw2", Is: keyOfSeed(2)}}},
		"base: rubbish":      {keys, "tcp/443", func(r *Revision) { r.File = []byte("x") }, false, true, []Key{{Gateway: "gw1", Is: keyOfSeed(1)}, {Gateway: "gw2", Is: keyOfSeed(2)}}},
	} {
		was := base
		if tt.spoil != nil {
			tt.spoil(&was)
		}
		c := examine(t, was, revision(t, 8, file(tt.ports), tt.keys))
		if c.Known != tt.known || c.Changed != tt.changed || !slices.Equal(c.Keys, tt.want) || !c.Proof.OK {
			t.Errorf("%s: known %v, changed %v, keys %v", name, c.Known, c.Changed, c.Keys)
		}
		if _, err := c.SignBack(owner(), 5); (err == nil) != tt.known {
			t.Errorf("%s: the way back: %v", name, err)
		}
	}
}

// TestWayBack: what is signed for the way back is the base, under the number after the change's.
func TestWayBack(t *testing.T) {
	base := sealed(t, revision(t, 7, file("tcp/443"), nil))
	c := examine(t, base, revision(t, 8, file("tcp/80"), nil))
	back, err := c.SignBack(owner(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := grant.NewTree(c.was, 9, 1000)
	if err != nil || !tree.Signed(public(), back) {
		t.Errorf("it is not signed: %v", err)
	}
	came := base
	came.Number, came.Until, came.Signature = 9, 1000, back
	if again := examine(t, came, revision(t, 10, file("tcp/443"), nil)); !again.Known {
		t.Error("what came back is not known")
	}
}

func TestExamineRefuses(t *testing.T) {
	good := revision(t, 8, file("tcp/443"), nil)
	for name, spoil := range map[string]func(*Revision){
		"the base's number": func(r *Revision) { r.Number = 7 },
		"an older number":   func(r *Revision) { r.Number = 3 },
		"another fabric":    func(r *Revision) { r.File = bytes.Replace(r.File, []byte("name: shop"), []byte("name: shoe"), 1) },
		"no file":           func(r *Revision) { r.File = []byte("rubbish") },
		"no lock":           func(r *Revision) { r.Lock = []byte("rubbish") },
	} {
		next := good
		spoil(&next)
		if c, err := Examine(public(), "shop", sealed(t, revision(t, 7, file("tcp/443"), nil)), next); err == nil || c != nil {
			t.Errorf("%s: examined", name)
		}
	}
}
