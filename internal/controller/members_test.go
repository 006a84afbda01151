package controller

import (
	"context"
	"strings"
	"testing"
	"time"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/key"
	"ropeway/internal/role"
)

// A key that is taken out is out, whatever else is applied, until its gateway brings one again.
func TestForget(t *testing.T) {
	d := deskOf(t)
	at := time.Unix(1, 0)
	if _, _, err := d.apply(t.Context(), change{author: "a", name: "f", file: file(open), at: at}); err != nil {
		t.Fatal(err)
	}
	private, err := key.NewPrivate()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.know(t.Context(), "gw1", private.Public(), at); err != nil {
		t.Fatal(err)
	}
	if n, err := d.forget(t.Context(), "gw2", "admin/ada", at); err != nil || n != 0 {
		t.Errorf("one that nobody knows: %d, %v", n, err)
	}
	if n, err := d.forget(t.Context(), "gw1", "admin/ada", at); err != nil || n != 3 {
		t.Errorf("forgotten in revision %d, %v", n, err)
	}
	if _, _, err := d.apply(t.Context(), change{author: "a", name: "f", file: file(closed), base: 3, at: at}); err != nil {
		t.Fatal(err)
	}
	now, err := d.current(t.Context())
	if err != nil || now.number != 4 || !now.plan.Gateway("gw1").Devices[0].PublicKey.IsZero() {
		t.Errorf("revision %d, %v: the key is back", now.number, err)
	}
	r, err := d.store.Revision(t.Context(), 3)
	if err != nil || r.Kind != "revoke" || r.Author != "admin/ada" || r.Reason != "gateway gw1" {
		t.Errorf("recorded: %+v, %v", r, err)
	}
}

func TestRollback(t *testing.T) {
	d := deskOf(t)
	at := time.Unix(1, 0)
	for i, text := range [][]byte{file(open), file(closed)} {
		if _, _, err := d.apply(t.Context(), change{author: "a", name: "f", file: text, base: uint64(i), at: at}); err != nil {
			t.Fatal(err)
		}
	}
	name, text, err := d.wanted(t.Context(), wish{rollback: 1}, nil)
	if err != nil || name != "revision-1.yaml" || string(text) != string(file(open)) {
		t.Fatalf("%s, %v", name, err)
	}
	if _, _, err := d.wanted(t.Context(), wish{rollback: 9}, nil); codeOf(err) != "RW7503" {
		t.Errorf("a revision that is not there: %v", err)
	}
	if _, _, err := d.wanted(t.Context(), wish{rollback: 1}, []string{"east"}); codeOf(err) != "RW7604" {
		t.Errorf("a revision for one who is bound to a place: %v", err)
	}
	n, changed, err := d.apply(t.Context(), change{author: "a", name: name, file: text, rollback: 1, base: 2, reason: "no", at: at})
	if err != nil || n != 3 || !changed {
		t.Fatalf("%d, %v, %v", n, changed, err)
	}
	r, err := d.store.Newest(t.Context())
	if err != nil || r.Kind != "rollback" || r.Reason != "back to revision 1: no" {
		t.Errorf("recorded: %+v, %v", r, err)
	}
}

// What a gateway says of itself is bounded and safe, and people who watch hear of what changed and of nothing else.
func TestReports(t *testing.T) {
	c := New(Options{Fabric: "shop", Now: func() time.Time { return time.Unix(5, 0) }})
	ctx := context.WithValue(t.Context(), callerKey{}, caller{Identity: role.Identity{Role: role.Gateway, Name: "gw1"}})
	tell := func(drift ...*ropewayv1.Drift) string {
		t.Helper()
		if _, err := (gatewayService{c}).Report(ctx, &ropewayv1.ReportRequest{Healthy: true, Drift: drift}); err != nil {
			t.Fatal(err)
		}
		return c.pulse.state()
	}
	first := tell()
	if tell() != first {
		t.Error("the same report is a change")
	}
	d := &ropewayv1.Drift{Step: "routes", What: "a\x1b[2J" + strings.Repeat("x", 5000), Times: 1}
	second := tell(d)
	if second == first {
		t.Error("drift is no change")
	}
	many := make([]*ropewayv1.Drift, 1000)
	for i := range many {
		many[i] = &ropewayv1.Drift{What: "x"}
	}
	tell(many...)
	tell(d)
	got := c.lastReport("gw1").Drift
	if len(got) != 1 || len(got[0].What) > 2000 || strings.Contains(got[0].What, "\x1b") {
		t.Errorf("kept: %.50v", got)
	}
	if tell(many...); len(c.lastReport("gw1").Drift) != mostDrift {
		t.Errorf("kept %d", len(c.lastReport("gw1").Drift))
	}
	if one, other := newPulse(), newPulse(); one.state() == other.state() {
		t.Error("two controllers count alike")
	}
}
