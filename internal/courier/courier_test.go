package courier

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/grant"
	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// A courier that holds nothing yet, and the key of its authority.
func newCourier(t *testing.T) (*Courier, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	c := &Courier{opts: Options{State: t.TempDir(), Log: log, Status: func() Status { return Status{} }, ConfirmWithin: ConfirmWithin, StaleAfter: StaleAfter}, log: log, met: map[string]bool{}}
	c.held = grant.Verifier{Authority: public, Fabric: "shop", Gateway: "gw1"}
	return c, private
}

func document(t *testing.T, gateway string, port uint16) []byte {
	t.Helper()
	return documentOf(t, gateway, port, []*plan.Peer{})
}

// peered is the plan of a gateway that has another one for a peer.
func peered(t *testing.T, port uint16) []byte {
	t.Helper()
	private, err := key.NewPrivate()
	if err != nil {
		t.Fatal(err)
	}
	return documentOf(t, "gw1", port, []*plan.Peer{{
		Gateway: "gw2", PublicKey: private.Public(), AllowedIPs: []netip.Prefix{netip.MustParsePrefix("100.64.0.2/32")}, MTU: 1440, Underlay: 1500, Overhead: 60,
	}})
}

func documentOf(t *testing.T, gateway string, port uint16, peers []*plan.Peer) []byte {
	t.Helper()
	out, err := plan.Encode("shop", &plan.Gateway{
		Name: gateway, Place: "east",
		Devices:  []plan.Device{{Name: "rw0", ListenPort: port, MTU: 1440, Addresses: []netip.Prefix{netip.MustParsePrefix("100.64.0.1/32")}, Peers: peers}},
		Firewall: plan.Firewall{Own: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}, Fabric: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func signed(t *testing.T, key ed25519.PrivateKey, epoch uint64, document []byte) *ropewayv1.SignedGrant {
	t.Helper()
	s, err := grant.Sign(key, &ropewayv1.Grant{Fabric: "shop", Gateway: "gw1", Epoch: epoch, Plan: document})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (c *Courier) plan(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(PlanFile(c.opts.State))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return data
}

// What is not signed, old, or another's changes nothing; the next good grant is followed all the same.
func TestWhatIsFollowed(t *testing.T) {
	c, key := newCourier(t)
	first, second := document(t, "gw1", 51820), document(t, "gw1", 51821)
	if err := c.take(t.Context(), signed(t, key, 5, first)); err != nil || !bytes.Equal(c.plan(t), first) {
		t.Fatalf("the first: %v", err)
	}
	_, stranger, _ := ed25519.GenerateKey(nil)
	tampered := signed(t, key, 9, second)
	tampered.Grant[len(tampered.Grant)/2] ^= 1
	for what, s := range map[string]*ropewayv1.SignedGrant{
		"an older one":                 signed(t, key, 4, second),
		"the same epoch":               signed(t, key, 5, second),
		"another authority's":          signed(t, stranger, 9, second),
		"one that was changed":         tampered,
		"one that holds another's":     signed(t, key, 9, document(t, "gw2", 51821)),
		"one that holds nothing of it": signed(t, key, 9, []byte("{}")),
	} {
		if err := c.take(t.Context(), s); err == nil {
			t.Errorf("%s was followed", what)
		}
		if !bytes.Equal(c.plan(t), first) || c.epoch() != 5 {
			t.Fatalf("%s changed something", what)
		}
	}
	again := &Courier{opts: c.opts, log: c.log, met: map[string]bool{}, held: grant.Verifier{Authority: c.held.Authority, Fabric: "shop", Gateway: "gw1"}}
	if err := again.remember(); err != nil || again.epoch() != 5 {
		t.Errorf("after a restart: epoch %d, %v", again.epoch(), err)
	}
	if err := c.take(t.Context(), signed(t, key, 6, second)); err != nil || !bytes.Equal(c.plan(t), second) {
		t.Errorf("the next good one: %v", err)
	}
}

// A grant that lapsed is not taken; one that was taken in time outlives that, and a restart.
func TestALapsedGrant(t *testing.T) {
	c, key := newCourier(t)
	lapsing := func(epoch uint64, in time.Duration, port uint16) *ropewayv1.SignedGrant {
		s, err := grant.Sign(key, &ropewayv1.Grant{Fabric: "shop", Gateway: "gw1", Epoch: epoch, Plan: document(t, "gw1", port), Until: uint64(time.Now().Add(in).Unix())})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if err := c.take(t.Context(), lapsing(5, -time.Hour, 51820)); !errors.Is(err, grant.ErrLapsed) || c.plan(t) != nil {
		t.Fatalf("one that lapsed: %v", err)
	}
	if err := c.take(t.Context(), lapsing(6, time.Minute, 51821)); err != nil {
		t.Fatal(err)
	}
	lapsed := lapsing(6, -time.Hour, 51821) // as if that minute were over: what is on disk is not asked again
	data, err := proto.Marshal(lapsed)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.statePath(grantName), data, 0o600); err != nil {
		t.Fatal(err)
	}
	again := &Courier{opts: c.opts, log: c.log, held: grant.Verifier{Authority: c.held.Authority, Fabric: "shop", Gateway: "gw1"}}
	if err := again.remember(); err != nil || again.epoch() != 6 {
		t.Errorf("after a restart: epoch %d, %v", again.epoch(), err)
	}
}

// A restart remembers the epoch, and makes up for a crash between grant and plan.
func TestARestart(t *testing.T) {
	c, key := newCourier(t)
	text := document(t, "gw1", 51820)
	if err := c.take(t.Context(), signed(t, key, 7, text)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(PlanFile(c.opts.State)); err != nil { // as if it had not come so far
		t.Fatal(err)
	}
	again := &Courier{opts: c.opts, log: c.log, met: map[string]bool{}, held: grant.Verifier{Authority: c.held.Authority, Fabric: "shop", Gateway: "gw1"}}
	if err := again.remember(); err != nil || again.epoch() != 7 || !bytes.Equal(again.plan(t), text) {
		t.Fatalf("epoch %d, %v", again.epoch(), err)
	}
	if err := again.take(t.Context(), signed(t, key, 6, document(t, "gw1", 51821))); !errors.Is(err, grant.ErrOld) {
		t.Errorf("an old plan came back: %v", err)
	}
	if now := again.now(); now.KeptEpoch != 7 || now.AppliedEpoch != 0 {
		t.Errorf("told: %v", now)
	}
	again.opts.Status = func() Status { return Status{Applied: again.revision, Healthy: true} }
	if now := again.now(); now.AppliedEpoch != 7 || !now.Healthy {
		t.Errorf("told: %v", now)
	}
}
