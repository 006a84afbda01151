package controller

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/courier"
	"ropeway/internal/files"
	"ropeway/internal/grant"
	"ropeway/internal/key"
	"ropeway/internal/member"
	"ropeway/internal/plan"
	"ropeway/internal/role"
)

// A machine is a gateway as far as its controller sees: a real courier, and a status that follows the plan file as an agent's does.
type machine struct {
	t     *testing.T
	state string
}

// enrollAt makes the machine gateway gw1 by way of a server.
func enrollAt(t *testing.T, h *here, state, server string) *machine {
	t.Helper()
	tok, _, err := h.FirstToken(t.Context(), role.Identity{Role: role.Gateway, Name: "gw1"}, time.Hour)
	must(t, err)
	private, err := key.NewPrivate()
	must(t, err)
	_, err = member.Enroll(t.Context(), courier.MemberFile(state), server, tok, member.Beside{PublicKeys: map[string]string{"rw0": private.Public().String()}})
	must(t, err)
	return &machine{t, state}
}

func newState(t *testing.T) string {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state")
	must(t, files.SecretDir(state))
	return state
}

func (m *machine) status() courier.Status {
	st := courier.Status{Healthy: true, Routing: &ropewayv1.Routing{Daemon: "frr", Running: true, Total: 1}, Drift: []*ropewayv1.Drift{{Step: "routes", What: "a route was gone", Times: 1}}}
	if text, err := os.ReadFile(courier.PlanFile(m.state)); err == nil {
		if doc, err := plan.Decode(text); err == nil {
			st.Applied = doc.Revision
		}
	}
	return st
}

// run starts a courier, as a restart of the machine does, and returns how it ends.
func (m *machine) run(options ...func(*courier.Options)) (c *courier.Courier, stop func()) {
	m.t.Helper()
	o := courier.Options{
		State: m.state, Log: slog.New(slog.DiscardHandler), Status: m.status, Errands: &doer{},
		Reach: func(context.Context, []string) ([]string, error) { return nil, nil },
	}
	for _, option := range options {
		option(&o)
	}
	c, err := courier.New(o)
	must(m.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	m.t.Cleanup(stop)
	return c, stop
}

// gw1 is what people see of the gateway.
func (h *here) gw1() *ropewayv1.Gateway {
	h.t.Helper()
	answer, err := fabricService{h.Controller}.ListGateways(h.t.Context(), &ropewayv1.ListGatewaysRequest{})
	must(h.t, err)
	return answer.Gateways[0]
}

func (h *here) follows(epoch uint64) func() bool {
	return func() bool {
		g := h.gw1()
		return g.Connected && g.Reported.GetHealthy() && g.Reported.GetAppliedEpoch() == epoch
	}
}

// An agent and a controller of which the other is of the version before or after go on as ever: they enroll, renew, hand out plans, follow them and report.
func TestOtherVersions(t *testing.T) {
	for name, eras := range map[string][2]era{
		"the controller is newer": {today(), tomorrow()}, "the controller is older": {today(), yesterday()},
		"the agent is newer": {tomorrow(), today()}, "the agent is older": {yesterday(), today()},
		"each is newer to the other": {tomorrow(), tomorrow()},
	} {
		t.Run(name, func(t *testing.T) {
			h := serveHere(t)
			state := newState(t)
			tr := newTranslator(t, h, state, eras[0], eras[1])
			m := enrollAt(t, h, state, tr.url)
			_, stop := m.run()
			h.apply(0, file(open))
			eventually(t, "it follows the first revision", h.follows(h.newest()))
			h.apply(h.newest(), file(closed))
			eventually(t, "it follows the second", h.follows(h.newest()))
			if r := h.gw1().Reported.Routing; (r != nil) == (name == "the agent is older") {
				t.Errorf("of its routing people see %v", r)
			}
			if g := h.gw1(); g.Hindrance != "" || len(g.Reported.Drift) != 1 || g.Reported.Drift[0].Step != "routes" {
				t.Errorf("people see %v", g)
			}
			stop()
			h.apply(h.newest(), file(open))
			who, err := member.Load(courier.MemberFile(state))
			must(t, err)
			must(t, who.Renew(t.Context(), courier.MemberFile(state), tr.url))
			_, stop = m.run() // it reads what the other one sent
			eventually(t, "it catches up", h.follows(h.newest()))
			stop()
			kept, err := os.ReadFile(filepath.Join(state, "grant.pb"))
			must(t, err)
			if novel := bytes.Contains(kept, []byte(wordOfTomorrow)); novel != eras[1].novel {
				t.Errorf("what it was sent holds something novel: %t", novel)
			}
		})
	}
}

func (h *here) newest() uint64 {
	h.t.Helper()
	n, err := h.opts.Store.NewestNumber(h.t.Context())
	must(h.t, err)
	return n
}

// Who asks for something that came later hears so, from an older controller and from this one; who is no member hears no more than ever.
func TestUnknownCalls(t *testing.T) {
	h := serveHere(t)
	state := newState(t)
	tr := newTranslator(t, h, state, today(), yesterday())
	enrollAt(t, h, state, tr.url)
	who, err := member.Load(courier.MemberFile(state))
	must(t, err)
	client, err := who.HTTP(tr.url)
	must(t, err)
	defer client.CloseIdleConnections()
	_, err = ropewayv1connect.NewRolloutServiceClient(client, tr.url).GetRollout(t.Context(), &ropewayv1.GetRolloutRequest{})
	if connect.CodeOf(err) != connect.CodeUnimplemented || len(tr.unknown) != 1 {
		t.Errorf("of an older controller: %v", err)
	}
	call := func(s *somebody) error {
		novel := connect.NewClient[ropewayv1.GetRolloutRequest, ropewayv1.GetRolloutResponse](s.http(t, "h2"), h.url()+"/ropeway.v1.RolloutService/OfTomorrow")
		_, err := novel.CallUnary(t.Context(), connect.NewRequest(&ropewayv1.GetRolloutRequest{}))
		return err
	}
	if err := call(h.somebody("viewer/eve")); connect.CodeOf(err) != connect.CodeUnimplemented || !strings.Contains(err.Error(), "later version") {
		t.Errorf("of this one: %v", err)
	}
	if err := call(&somebody{h: h}); connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("a stranger: %v", err)
	}
}

// grants puts a plan into the outbox as a controller of a later version would: of a format, and perhaps with what nobody knows yet.
func (h *here) grants(epoch uint64, format uint32, later bool) {
	h.t.Helper()
	now, err := h.desk.current(h.t.Context())
	must(h.t, err)
	text, err := plan.Encode("shop", now.gateway("gw1"))
	must(h.t, err)
	if later {
		text = bytes.Replace(text, []byte(`"kind": "GatewayPlan",`), fmt.Appendf(nil, `"kind": "GatewayPlan", "format": %d, "color": "red",`, plan.Format+1), 1)
	}
	h.outbox.put(map[string]*parcel{"gw1": newParcel(epoch, format, func() (*ropewayv1.SignedGrant, error) {
		return grant.Sign(h.opts.Authority.Signer(), &ropewayv1.Grant{Fabric: "shop", Gateway: "gw1", Epoch: epoch, Plan: text})
	})})
}

// What a gateway would not understand is kept back, and people are told; what it was sent all the same it refuses whole, and says so. Either way it goes on
// with the plan that it has, and follows the next one that it understands.
func TestAPlanOfALaterFormat(t *testing.T) {
	for name, tt := range map[string]struct {
		format uint32 // that the controller takes the plan for
		code   string
	}{"kept back": {plan.Format + 1, "RW7307"}, "sent all the same": {plan.Format, "RW4022"}} {
		t.Run(name, func(t *testing.T) {
			h := serveHere(t)
			state := newState(t)
			m := enrollAt(t, h, state, h.url())
			h.apply(0, file(open))
			c, _ := m.run()
			first := h.newest()
			eventually(t, "it follows the first revision", h.follows(first))
			before, err := os.ReadFile(courier.PlanFile(state))
			must(t, err)

			h.grants(first+10, tt.format, true)
			eventually(t, "people are told", func() bool { return strings.HasPrefix(h.gw1().Hindrance, tt.code) })
			after, err := os.ReadFile(courier.PlanFile(state))
			must(t, err)
			if g := h.gw1(); !bytes.Equal(before, after) || !g.Connected || !g.Reported.Healthy || g.Reported.AppliedEpoch != first {
				t.Errorf("it does not go on as it was: %v", g)
			}
			if said := c.Contact().Unread; strings.HasPrefix(said, "RW4022") == (tt.code == "RW7307") {
				t.Errorf("of itself it says %q", said)
			}
			h.grants(first+11, plan.Format, false)
			eventually(t, "it follows the next one", h.follows(first+11))
			if g := h.gw1(); g.Hindrance != "" || c.Contact().Unread != "" {
				t.Errorf("people are told still: %v", g)
			}
		})
	}
}

// Those who watch in another way than couriers do are not sent it either.
func TestAPlanIsKeptBackFromAStream(t *testing.T) {
	h := serveHere(t)
	h.apply(0, file(open))
	eventually(t, "the first revision is handed out", func() bool { return h.outbox.look("gw1") != nil })
	gw1 := h.somebody("gateway/gw1").gateway("h2")
	h.grants(20, plan.Format+1, true)
	for reads, want := range map[uint32]uint64{0: 21, plan.Format: 21, plan.Format + 1: 20} {
		stream, err := gw1.Watch(t.Context(), &ropewayv1.WatchRequest{Epoch: h.newest(), PlanFormat: reads})
		must(t, err)
		if want == 21 {
			eventually(t, "it watches", func() bool { return h.outbox.connected("gw1") })
			h.grants(21, 1, false) // which whoever says no format understands, too
		}
		for first := true; first || stream.Msg().Grant == nil; first = false {
			if !stream.Receive() {
				t.Fatal(stream.Err())
			}
		}
		if epoch, err := epochOf(stream.Msg().Grant); err != nil || epoch != want {
			t.Errorf("who understands %d is sent %d, %v", reads, epoch, err)
		}
		must(t, stream.Close())
		eventually(t, "it watches no more", func() bool { return !h.outbox.connected("gw1") })
		h.grants(20, plan.Format+1, true)
	}
}

// A gateway that went back from a revision that everybody got at once stays where it is, and people are told. Nobody sends it again until somebody asks for
// that; then it tries, and stays or goes back.
func TestRetry(t *testing.T) {
	h := serveHere(t)
	state := newState(t)
	tr := newTranslator(t, h, state, today(), today())
	m := enrollAt(t, h, state, tr.url)
	h.apply(0, file(open))
	m.run(func(o *courier.Options) { o.ConfirmWithin = 10 * time.Second })
	first := h.newest()
	eventually(t, "it follows the first revision", h.follows(first))
	ann := h.somebody("operator/ann")
	rollouts := ropewayv1connect.NewRolloutServiceClient(ann.http(t, "h2"), h.url())
	retry := func(gateway string) error {
		_, err := rollouts.RetryGateway(t.Context(), &ropewayv1.RetryGatewayRequest{Gateway: gateway})
		return err
	}
	for _, gateway := range []string{"gw1", "gw2", "nobody\n"} {
		if err := retry(gateway); connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "RW7306") {
			t.Errorf("%q has nothing to try: %v", gateway, err)
		}
	}
	wentBack := func() bool {
		g := h.gw1()
		return strings.HasPrefix(g.Hindrance, "RW4020") && g.Reported.AppliedEpoch == first && g.Reported.Healthy
	}
	tr.cut.Store(true)
	second := h.apply(first, file(closed))
	eventually(t, "it was sent the second", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.sent["gw1"] == second })
	eventually(t, "it went back by itself", func() bool {
		text, err := os.ReadFile(filepath.Join(state, "trial.json"))
		return err == nil && bytes.Contains(text, []byte(`"reverted":true`))
	})
	tr.cut.Store(false)
	eventually(t, "people are told", wentBack)
	h.outbox.nudge("gw1") // whatever wakes who watches, it is not sent again
	must(t, retry("gw1"))
	eventually(t, "it follows the second after all", h.follows(second))
	if g := h.gw1(); g.Hindrance != "" {
		t.Errorf("people are told still: %v", g)
	}
	if err := retry("gw1"); err == nil {
		t.Error("it would try again what it follows")
	}
	log := ropewayv1connect.NewAuditServiceClient(h.somebody("admin/eve").http(t, "h2"), h.url())
	eventually(t, "the log says who had it try", func() bool {
		list, err := log.ListEntries(t.Context(), &ropewayv1.ListEntriesRequest{What: "rollout.retry-gateway", Who: "operator/ann"})
		return err == nil && len(list.Entries) > 0 && strings.Contains(list.Entries[0].Entry, "gateway/gw1")
	})
}
