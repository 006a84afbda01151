package controller

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/grant"
	"ropeway/internal/role"
	"ropeway/internal/store"
)

// A gateway that holds more than the fabric has handed out is asked for its grant, and believed where that is signed. Its word changes nothing.
func TestAGatewayThatHoldsMore(t *testing.T) {
	st := serveAt(t, "first", filepath.Join(t.TempDir(), "authority"), openAt(t, store.Options{Dir: filepath.Join(t.TempDir(), "store")}))
	number, _, err := st.desk.apply(t.Context(), change{author: "a", name: "f", file: file(open), at: time.Unix(1, 0)})
	must(t, err)
	gw := st.person(t, role.Identity{Role: role.Gateway, Name: "gw1"})
	client, err := gw.HTTP(st.url)
	must(t, err)
	t.Cleanup(client.CloseIdleConnections)
	gateways := ropewayv1connect.NewGatewayServiceClient(client, st.url)
	watch := func(req *ropewayv1.WatchRequest) (*ropewayv1.WatchResponse, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		stream, err := gateways.Watch(ctx, req)
		if err != nil {
			return nil, err
		}
		defer func() { _ = stream.Close() }()
		for stream.Receive() {
			if got := stream.Msg(); got.Behind || got.Grant != nil { // else a heartbeat
				return got, nil
			}
		}
		return nil, stream.Err()
	}
	sign := func(key ed25519.PrivateKey, fabric, gateway string) *ropewayv1.SignedGrant {
		g := &ropewayv1.Grant{Fabric: fabric, Gateway: gateway, Epoch: 1000, Plan: []byte("{}")}
		var s *ropewayv1.SignedGrant
		if key != nil {
			s, err = grant.Sign(key, g)
		} else {
			s, err = grant.Sign(st.opts.Authority.Signer(), g)
		}
		must(t, err)
		return s
	}

	if got, err := watch(&ropewayv1.WatchRequest{Epoch: 1000}); err != nil || !got.Behind || got.Grant != nil {
		t.Errorf("what it says is answered with %v, %v", got, err)
	}
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	for name, held := range map[string]*ropewayv1.SignedGrant{
		"a stranger's": sign(stranger, "shop", "gw1"), "another gateway's": sign(nil, "shop", "gw2"), "another fabric's": sign(nil, "shoe", "gw1"), "nothing": {},
	} {
		if got, err := watch(&ropewayv1.WatchRequest{Epoch: 1000, Held: held}); connect.CodeOf(err) != connect.CodePermissionDenied {
			t.Errorf("%s grant is answered with %v, %v", name, got, err)
		}
	}
	if n, err := st.opts.Store.NewestNumber(t.Context()); err != nil || n != number {
		t.Fatalf("what is not signed made revision %d, %v", n, err)
	}

	for range 2 { // also where it comes again before it heard
		got, err := watch(&ropewayv1.WatchRequest{Epoch: 1000, Held: sign(nil, "shop", "gw1")})
		if err != nil || got.Grant == nil {
			t.Fatalf("its grant is answered with %v, %v", got, err)
		}
		g, err := grant.Verifier{Authority: st.opts.Authority.PublicKey(), Fabric: "shop", Gateway: "gw1", Epoch: 1000}.Open(got.Grant)
		if err != nil || g.Epoch != 1001 {
			t.Errorf("it is to follow %d, %v", g.GetEpoch(), err)
		}
	}
	r, err := st.opts.Store.Newest(t.Context())
	if err != nil || r.Number != 1001 || r.Kind != "restore" || string(r.File) != string(file(open)) {
		t.Errorf("the newest is %+v, %v", r, err)
	}
}
