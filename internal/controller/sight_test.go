package controller

import (
	"log/slog"
	"strings"
	"testing"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/compile"
	"ropeway/internal/intent"
	"ropeway/internal/key"
	"ropeway/internal/rollout"
	"ropeway/internal/store"
)

// compiled makes a revision of a fabric whose gateways have keys.
func compiled(t *testing.T, number uint64, keys map[string]key.Public, file string) *fabric {
	t.Helper()
	in, problems := intent.Read("f", []byte(file))
	if in == nil {
		t.Fatal(problems)
	}
	_, lock := compile.Compile(in, nil)
	for name, k := range keys {
		lock = lock.With(name, k)
	}
	p, lock := compile.Compile(in, lock)
	return (&fabric{number: number, intent: in, lock: lock}).planned(p)
}

// onTheWay is a rollout in which the gateways of places east and south have the new revision, and those of west and north the base.
func onTheWay(t *testing.T, file, next string) (*Controller, *present) {
	t.Helper()
	keys := map[string]key.Public{}
	for _, place := range places {
		for _, name := range []string{place + "-a", place + "-b"} {
			private, err := key.NewPrivate()
			if err != nil {
				t.Fatal(err)
			}
			keys[name] = private.Public()
		}
	}
	now := &present{base: compiled(t, 6, keys, file), newest: compiled(t, 7, keys, next), rollout: &store.Rollout{Step: 1, Rollout: rollout.Rollout{
		Revision: 7, Base: 6, State: rollout.Running, Waves: [][]string{{"east-a", "east-b", "south-a", "south-b"}}, Rest: 4,
	}}}
	now.touch()
	c := New(Options{Fabric: "shop", Log: slog.New(slog.DiscardHandler)})
	c.outbox.put(c.parcels(&present{newest: &fabric{}}, now))
	return c, now
}

func (c *Controller) hears(gateway string, r *ropewayv1.ReportRequest) {
	c.outbox.attend(gateway, make(waiter, 1))
	c.reported[gateway] = report{ReportRequest: r}
}

func epoch(n uint64) *uint64 { return &n }

// What a gateway reports is what it is, but for links that are not meant to work yet.
func TestSight(t *testing.T) {
	before := string(fabricFile("{from: any, to: any}"))
	after := string(fabricFile(web))
	c, now := onTheWay(t, before, after)
	is := func(name string, want rollout.Condition, why string) {
		t.Helper()
		if got := c.sight(now, name); got.Condition != want || !strings.Contains(got.Why, why) {
			t.Errorf("%s is %+v, want %q because %q", name, got, want, why)
		}
	}
	is("east-a", rollout.Unseen, "")
	c.hears("east-a", nil)
	is("east-a", rollout.Waiting, "does not have the plan")
	for _, tt := range []struct {
		says *ropewayv1.ReportRequest
		want rollout.Condition
		why  string
	}{
		{&ropewayv1.ReportRequest{KeptEpoch: 6, AppliedEpoch: 6, Healthy: true}, rollout.Waiting, "does not have the plan"},
		{&ropewayv1.ReportRequest{KeptEpoch: 7, AppliedEpoch: 6, Healthy: true}, rollout.Waiting, "is becoming"},
		{&ropewayv1.ReportRequest{KeptEpoch: 6, AppliedEpoch: 6, Healthy: true, UnreadEpoch: 7, Message: "RW4022 it cannot"}, rollout.Broken, "RW4022"},
		{&ropewayv1.ReportRequest{KeptEpoch: 7, AppliedEpoch: 6, Message: "RW4010"}, rollout.Broken, "RW4010"},
		{&ropewayv1.ReportRequest{KeptEpoch: 7, AppliedEpoch: 7, Healthy: true, ProbedEpoch: epoch(6)}, rollout.Waiting, "looks whom"},
		{&ropewayv1.ReportRequest{KeptEpoch: 7, AppliedEpoch: 7, Healthy: true, ProbedEpoch: epoch(7)}, rollout.Ready, ""},
		{&ropewayv1.ReportRequest{KeptEpoch: 7, AppliedEpoch: 7, Healthy: true}, rollout.Ready, ""}, // an agent that does not look
		{&ropewayv1.ReportRequest{KeptEpoch: 7, AppliedEpoch: 7, Healthy: true, Lost: []string{"west-a"}}, rollout.Ready, ""},
		{&ropewayv1.ReportRequest{KeptEpoch: 7, AppliedEpoch: 7, Healthy: true, Lost: []string{"nobody", "east-b"}}, rollout.Ready, ""},
	} {
		c.reported["east-a"] = report{ReportRequest: tt.says}
		is("east-a", tt.want, tt.why)
	}
	lost := &ropewayv1.ReportRequest{KeptEpoch: 7, AppliedEpoch: 7, Healthy: true, Lost: []string{"south-a", "west-a"}}
	c.reported["east-a"] = report{ReportRequest: lost}
	is("east-a", rollout.Ready, "") // nobody hears of the lost: it may be their own fault
	c.hears("west-a", nil)
	is("east-a", rollout.Broken, "no longer reaches gateway west-a") // the link is the same in both revisions

	moved := strings.Replace(after, "{name: west-a, endpoint: 192.0.2.11}", "{name: west-a, endpoint: 192.0.2.11, port: 4500}", 1)
	if moved == after {
		t.Fatal("nothing moved")
	}
	c, now = onTheWay(t, before, moved)
	c.hears("east-a", lost)
	c.hears("west-a", nil)
	is("east-a", rollout.Ready, "") // it waits for west-a where that listens when its wave has come
	c.hears("south-a", nil)
	is("east-a", rollout.Broken, "no longer reaches gateway south-a")
}

// What a gateway went back from is sent once more, by a controller that may not have been there; one that was there all the time lets it be.
func TestSentAnew(t *testing.T) {
	c, now := onTheWay(t, string(fabricFile("{from: any, to: any}")), string(fabricFile(web)))
	c.hears("east-a", &ropewayv1.ReportRequest{KeptEpoch: 6, AppliedEpoch: 6, Healthy: true, RevertedEpoch: 7})
	asks := &ropewayv1.WatchRequest{Epoch: 6, RevertedEpoch: 7}
	if held := c.heldBy("east-a", asks); held != 6 {
		t.Errorf("a controller that has just started takes it for one that holds %d", held)
	}
	if got := c.sight(now, "east-a"); got.Condition != rollout.Waiting {
		t.Errorf("it is %+v", got)
	}
	c.noteSent("east-a", 7)
	if held := c.heldBy("east-a", asks); held != 7 {
		t.Errorf("it would be sent again and again: it is taken for one that holds %d", held)
	}
	if got := c.sight(now, "east-a"); got.Condition != rollout.Reverted {
		t.Errorf("it is %+v", got)
	}
}

// Gateways whose wave was not admitted find what the base says, and those that only the newest revision has find nothing.
func TestParcelsOfARollout(t *testing.T) {
	before := string(fabricFile("{from: any, to: any}"))
	after := strings.Replace(string(fabricFile(web)), "{name: north-b,", "{name: north-c, endpoint: 192.0.2.33}, {name: north-b,", 1)
	c, now := onTheWay(t, before, after)
	for name, want := range map[string]uint64{"east-a": 7, "south-b": 7, "west-a": 6, "north-b": 6, "north-c": 0} {
		var got uint64
		if p := c.outbox.look(name); p != nil {
			got = p.epoch
		}
		if got != want {
			t.Errorf("%s finds revision %d, want %d", name, got, want)
		}
	}
	next := *now
	r := *now.rollout
	r.Rollout, _ = r.Next(nil)
	next.rollout = &r
	for name, p := range c.parcels(now, &next) {
		if strings.HasPrefix(name, "east") || strings.HasPrefix(name, "south") || p.epoch != 7 {
			t.Errorf("%s finds something new: revision %d", name, p.epoch)
		}
	}
	if got := len(c.parcels(now, &next)); got != 5 {
		t.Errorf("%d find something new, want 5", got)
	}
}
