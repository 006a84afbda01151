package controller

import (
	"crypto/rand"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/role"
	"ropeway/internal/store"
)

// A full store refuses what would make it larger, and says so; it is read, and what is removed stays removed. With room it takes writes again.
func TestAFullStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := openAt(t, store.Options{Dir: dir, Quota: 6 << 20})
	authorityDir := filepath.Join(t.TempDir(), "authority")
	st := serveAt(t, "first", authorityDir, s)
	number, _, err := st.desk.apply(t.Context(), change{author: "a", name: "f", file: file(open), at: time.Unix(1, 0)})
	must(t, err)
	admin := st.person(t, role.Identity{Role: role.Admin, Name: "ada"})
	client, err := admin.HTTP(st.url)
	must(t, err)
	t.Cleanup(client.CloseIdleConnections)
	access, fabric := ropewayv1connect.NewAccessServiceClient(client, st.url), ropewayv1connect.NewFabricServiceClient(client, st.url)
	old, err := access.CreateToken(t.Context(), &ropewayv1.CreateTokenRequest{Identity: "viewer/eve"})
	must(t, err)

	for n := 0; err == nil && n < 100; n++ {
		noise := make([]byte, 900<<10)
		_, _ = rand.Read(noise)
		_, err = s.Commit(t.Context(), number, store.Revision{At: time.Unix(1, 0), Author: "a", Kind: "apply", File: file(open), Lock: noise})
		number++
	}
	if !errors.Is(err, store.ErrFull) {
		t.Fatalf("it is not full: %v", err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if connect.CodeOf(err) != connect.CodeResourceExhausted || !strings.Contains(err.Error(), "RW7200") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = access.CreateToken(t.Context(), &ropewayv1.CreateTokenRequest{Identity: "viewer/bob"})
	refused("a token", err)
	st.tidy(t.Context()) // nothing of it is waste
	_, err = access.CreateToken(t.Context(), &ropewayv1.CreateTokenRequest{Identity: "viewer/bob"})
	if err != nil {
		refused("a token, after space was reclaimed for nothing", err)
	}
	if _, err := fabric.ListRevisions(t.Context(), &ropewayv1.ListRevisionsRequest{}); err != nil {
		t.Errorf("it is not read: %v", err)
	}
	if _, err := access.RevokeToken(t.Context(), &ropewayv1.RevokeTokenRequest{Id: old.Id}); err != nil {
		t.Errorf("nothing is removed: %v", err)
	}
	must(t, s.Close())
	if err := <-st.ended; err == nil {
		t.Error("a controller goes on without its store")
	}
	st.ended <- nil

	s = openAt(t, store.Options{Dir: dir, Quota: 64 << 20})
	roomy := serveAt(t, "first", authorityDir, s)
	roomy.tidy(t.Context()) // which lifts what the smaller quota left behind
	if _, _, err := roomy.FirstToken(t.Context(), role.Identity{Role: role.Viewer, Name: "bob"}, time.Hour); err != nil {
		t.Errorf("with room: %v", err)
	}
}
