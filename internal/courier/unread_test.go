package courier

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"ropeway/internal/grant"
	"ropeway/internal/plan"
)

// later is a plan as a later version may write it.
func later(t *testing.T, port uint16) []byte {
	t.Helper()
	text := document(t, "gw1", port)
	out := bytes.Replace(text, []byte(`"kind": "GatewayPlan",`), []byte(`"kind": "GatewayPlan", "format": 3,`), 1)
	out = bytes.Replace(out, []byte(`"mtu": 1440`), []byte(`"mtu": 1440, "color": "red"`), 1)
	if bytes.Equal(out, text) {
		t.Fatal("nothing of it is later")
	}
	return out
}

// A plan that a later version made is not followed, nor any part of it. The gateway goes on with the one that it has, says so, and follows the next one that
// it can read.
func TestALaterPlan(t *testing.T) {
	c, key := newCourier(t)
	first, third := document(t, "gw1", 1), document(t, "gw1", 3)
	if err := c.take(t.Context(), signed(t, key, 5, first)); err != nil {
		t.Fatal(err)
	}
	c.applies(t)
	for range 2 { // a controller sends it again with every conversation
		if err := c.take(t.Context(), signed(t, key, 6, later(t, 2))); !errors.Is(err, plan.ErrNewer) {
			t.Fatalf("it is followed: %v", err)
		}
	}
	now := c.now()
	if !bytes.Equal(c.plan(t), first) || c.epoch() != 5 || c.Contact().OnTrial {
		t.Error("something of it was followed")
	}
	if now.UnreadEpoch != 6 || now.KeptEpoch != 5 || now.AppliedEpoch != 5 || !now.Healthy || !strings.Contains(now.Message, "RW4022") || c.Contact().Unread == "" {
		t.Errorf("it says: %v", now)
	}
	if now.PlanFormat != plan.Format || c.asks().PlanFormat != plan.Format {
		t.Error("it does not say what it understands")
	}
	again := c.again(t)
	if again.epoch() != 5 || !bytes.Equal(again.plan(t), first) {
		t.Error("a restart remembers something of it")
	}
	if err := c.take(t.Context(), signed(t, key, 7, third)); err != nil || !bytes.Equal(c.plan(t), third) {
		t.Fatalf("the next one: %v", err)
	}
	if now := c.now(); now.UnreadEpoch != 0 || strings.Contains(now.Message, "RW4022") || c.Contact().Unread != "" {
		t.Errorf("it still says: %v", now)
	}
}

// An agent that takes the place of a newer one finds a plan that it cannot read. It leaves all as it is, and follows the next one that it can read, but
// none of before.
func TestAnOlderAgent(t *testing.T) {
	for _, onTrial := range []bool{false, true} {
		c, key := newCourier(t)
		if err := c.take(t.Context(), signed(t, key, 5, document(t, "gw1", 1))); err != nil {
			t.Fatal(err)
		}
		c.applies(t)
		if onTrial {
			if err := c.take(t.Context(), signed(t, key, 6, document(t, "gw1", 2))); err != nil {
				t.Fatal(err)
			}
		}
		newest := later(t, 7) // as the newer agent left it
		data, err := proto.Marshal(signed(t, key, 7, newest))
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string][]byte{grantName: data, planName: newest} {
			if err := os.WriteFile(filepath.Join(c.opts.State, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		older := c.again(t)
		if now := older.now(); older.epoch() != 7 || now.UnreadEpoch != 7 || now.KeptEpoch != 0 || !bytes.Equal(older.plan(t), newest) {
			t.Errorf("it begins with %v", now)
		}
		if err := older.take(t.Context(), signed(t, key, 6, document(t, "gw1", 2))); !errors.Is(err, grant.ErrOld) {
			t.Errorf("an old plan came back: %v", err)
		}
		next := document(t, "gw1", 8)
		if err := older.take(t.Context(), signed(t, key, 8, next)); err != nil || !bytes.Equal(older.plan(t), next) {
			t.Errorf("the next one: %v", err)
		}
		older = older.again(t)
		if now := older.now(); now.KeptEpoch != 8 || now.UnreadEpoch != 0 || now.RevertedEpoch != 0 || older.Contact().OnTrial {
			t.Errorf("after a restart: %v", now)
		}
	}
}
