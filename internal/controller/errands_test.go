package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/courier"
	"ropeway/internal/diag"
	"ropeway/internal/plan"
)

// fileWithBGP is the fabric with BGP.
func fileWithBGP() []byte {
	return []byte(strings.Replace(string(file(open)), "topology: {mode: mesh}", "topology: {mode: mesh}\n  routing: {mode: bgp}", 1))
}

// A doer is a gateway's machine as far as errands go.
type doer struct {
	routes []*ropewayv1.Route
	static bool // it cannot be drained

	mu      sync.Mutex
	drained bool
	waited  time.Duration
}

func (d *doer) Routes(_ context.Context, of string, best bool) ([]*ropewayv1.Route, error) {
	var out []*ropewayv1.Route
	for _, r := range d.routes {
		if (of == "" || of == r.Prefix) && (r.Best || !best) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (d *doer) Drain(_ context.Context, wait time.Duration) (*ropewayv1.Drainage, error) {
	if d.static {
		return nil, diag.Problem{Code: "RW4018", Severity: diag.Error, Subject: "gateway gw1", Message: "its routes are static", Hint: "none"}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drained, d.waited = true, wait
	return &ropewayv1.Drainage{Applied: true, Flows: []*ropewayv1.Flow{{Device: "rw1", Peer: "gw2\x1b", Sent: 12}}}, nil
}

func (d *doer) Undrain(context.Context) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.drained
	d.drained = false
	return was, nil
}

func (s *somebody) routing() ropewayv1connect.RoutingServiceClient {
	return ropewayv1connect.NewRoutingServiceClient(s.http(s.h.t, "h2"), s.h.url())
}

// routesOf returns what somebody hears, by gateway; troubles as a route of that prefix.
func (s *somebody) routesOf(req *ropewayv1.ListRoutesRequest) map[string][]string {
	s.h.t.Helper()
	stream, err := s.routing().ListRoutes(s.h.t.Context(), req)
	must(s.h.t, err)
	out := map[string][]string{}
	for stream.Receive() {
		m := stream.Msg()
		for _, r := range m.Routes {
			out[m.Gateway] = append(out[m.Gateway], r.Prefix)
		}
		if m.Trouble != nil {
			out[m.Gateway] = append(out[m.Gateway], m.Trouble.Code)
		}
	}
	must(s.h.t, stream.Err())
	return out
}

// TestWhatAGatewayAnswersIsSafeToShow: whoever took a gateway over cannot write to terminals, nor at length, in any word that it says of a route.
func TestWhatAGatewayAnswersIsSafeToShow(t *testing.T) {
	evil := "\x1b[2J" + strings.Repeat("x", 2*longestMessage)
	a := &ropewayv1.AnswerRequest{Routes: []*ropewayv1.Route{
		{Prefix: evil, Neighbor: evil, NextHop: evil, Device: evil, Communities: []string{"64512:100", evil}},
		{Prefix: "10.0.0.0/8", Communities: []string{"4200000001:1:2"}},
	}}
	boundAnswer(a)
	r := a.Routes[0]
	for _, text := range append(r.Communities, r.Prefix, r.Neighbor, r.NextHop, r.Device) {
		if strings.Contains(text, "\x1b") || len(text) > longestMessage+len(`\x1b`) {
			t.Errorf("%d bytes: %.20q", len(text), text)
		}
	}
	if r.Communities[0] != "64512:100" || a.Routes[1].Communities[0] != "4200000001:1:2" {
		t.Errorf("what can be a community is another one: %v", a.Routes)
	}
}

// Everything that a person asks of a gateway comes to it, and its answer to him, however long it is. What he wants of it is in the audit log.
func TestErrands(t *testing.T) {
	h := serveHere(t)
	h.apply(0, fileWithBGP())
	d := &doer{}
	for i := range 20_000 {
		d.routes = append(d.routes, &ropewayv1.Route{Prefix: fmt.Sprintf("10.%d.%d.0/24", i/256, i%256), Neighbor: "gw2", Path: []uint32{4200000002}, Best: i%2 == 0})
	}
	enrollAt(t, h, newState(t), h.url()).run(func(o *courier.Options) { o.Errands = d })
	eventually(t, "it does errands", func() bool { h.errands.mu.Lock(); defer h.errands.mu.Unlock(); return h.errands.doers["gw1"] == 1 })
	eve, ann := h.somebody("viewer/eve"), h.somebody("operator/ann")

	all := eve.routesOf(&ropewayv1.ListRoutesRequest{})
	if len(all) != 1 || len(all["gw1"]) != 20_000 {
		t.Fatalf("%d gateways, %d routes of gw1", len(all), len(all["gw1"]))
	}
	for i, prefix := range all["gw1"] {
		if prefix != d.routes[i].Prefix {
			t.Fatalf("route %d is %s", i, prefix)
		}
	}
	if got := eve.routesOf(&ropewayv1.ListRoutesRequest{Gateway: "gw1", Of: "10.0.7.0/24"}); len(got["gw1"]) != 1 {
		t.Errorf("one prefix: %v", got)
	}
	if got := eve.routesOf(&ropewayv1.ListRoutesRequest{Best: true}); len(got["gw1"]) != 10_000 {
		t.Errorf("%d carry packets", len(got["gw1"]))
	}
	if got := eve.routesOf(&ropewayv1.ListRoutesRequest{Of: "192.0.2.0/24"}); len(got) != 0 {
		t.Errorf("of a prefix that nobody has: %v", got)
	}

	answer, err := ann.routing().Drain(t.Context(), &ropewayv1.DrainRequest{Gateway: "gw1", Wait: durationpb.New(time.Hour)})
	must(t, err)
	if !answer.Drained.Applied || answer.Drained.Flows[0].Peer != `gw2\x1b` || d.waited != drainMost {
		t.Errorf("%v after waiting for %s", answer.Drained, d.waited)
	}
	for _, want := range []bool{true, false} {
		if answer, err := ann.routing().Undrain(t.Context(), &ropewayv1.UndrainRequest{Gateway: "gw1"}); err != nil || answer.Lifted != want {
			t.Errorf("undrained: %v, %v, want %v", answer, err, want)
		}
	}
	d.static = true
	if _, err := ann.routing().Drain(t.Context(), &ropewayv1.DrainRequest{Gateway: "gw1"}); connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "RW4018 gateway gw1") {
		t.Errorf("it cannot be drained: %v", err)
	}
	for who, code := range map[*somebody]string{ann: "gw2 RW7309", h.somebody("operator/west", "west"): "gw1 RW7507"} {
		gateway, code, _ := strings.Cut(code, " ")
		if _, err := who.routing().Drain(t.Context(), &ropewayv1.DrainRequest{Gateway: gateway}); err == nil || !strings.Contains(err.Error(), code) {
			t.Errorf("%s drains %s: %v, want %s", who.identity, gateway, err, code)
		}
	}
	if got := h.somebody("viewer/west", "west").routesOf(&ropewayv1.ListRoutesRequest{}); len(got) != 0 {
		t.Errorf("of another's place she sees %v", got)
	}
	log := ropewayv1connect.NewAuditServiceClient(h.somebody("admin/eve").http(t, "h2"), h.url())
	list, err := log.ListEntries(t.Context(), &ropewayv1.ListEntriesRequest{What: "gateway", Who: "operator/ann"})
	must(t, err)
	var said []string
	for _, e := range list.Entries {
		said = append(said, e.Entry)
	}
	if text := strings.Join(said, "\n"); strings.Count(text, "gateway.drain") != 2 || strings.Count(text, "gateway.undrain") != 2 || !strings.Contains(text, "gateway/gw1") || !strings.Contains(text, "127.0.0.1") {
		t.Errorf("the audit log says\n%s", text)
	}
	if es := h.errands; len(es.open)+len(es.ready) != 0 {
		t.Errorf("%d errands are open, %d gateways have some", len(es.open), len(es.ready))
	}
}

// However a gateway watches, an errand comes to it, and its answer counts: nobody else's, and none once whoever asked has gone.
func TestAnswers(t *testing.T) {
	h := serveHere(t)
	h.apply(0, fileWithBGP())
	gw, other := h.somebody("gateway/gw1"), h.somebody("gateway/gw2")
	ann := h.somebody("operator/ann")
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			client := gw.gateway(way.protocol, way.opts...)
			stream, err := client.Watch(ctx, &ropewayv1.WatchRequest{Errands: true, PlanFormat: plan.Format})
			must(t, err)
			next := func() string {
				for stream.Receive() {
					if e := stream.Msg().GetErrand(); e != nil {
						return e.Id
					}
				}
				t.Fatal(stream.Err())
				return ""
			}
			eventually(t, "it does errands", func() bool { h.errands.mu.Lock(); defer h.errands.mu.Unlock(); return h.errands.doers["gw1"] == 1 })
			lifted := make(chan error, 1)
			undrain := func(ctx context.Context) {
				answer, err := ann.routing().Undrain(ctx, &ropewayv1.UndrainRequest{Gateway: "gw1"})
				if err == nil && !answer.Lifted {
					err = errors.New("it was not drained")
				}
				lifted <- err
			}
			go undrain(ctx)
			id := next()
			for who, answers := range map[string]func() error{
				"another gateway": func() error {
					_, err := other.gateway("h2").Answer(t.Context(), &ropewayv1.AnswerRequest{Errand: id, Lifted: true})
					return err
				},
				"who guesses": func() error {
					_, err := client.Answer(t.Context(), &ropewayv1.AnswerRequest{Errand: "1", Lifted: true})
					return err
				},
			} {
				if err := answers(); connect.CodeOf(err) != connect.CodeCanceled {
					t.Errorf("%s answers: %v", who, err)
				}
			}
			_, err = client.Answer(t.Context(), &ropewayv1.AnswerRequest{Errand: id, Lifted: true})
			must(t, err)
			must(t, <-lifted)
			if _, err = client.Answer(t.Context(), &ropewayv1.AnswerRequest{Errand: id, Lifted: true}); connect.CodeOf(err) != connect.CodeCanceled {
				t.Errorf("an answer that was given: %v", err)
			}

			asking, leave := context.WithCancel(ctx)
			go undrain(asking)
			id = next()
			leave()
			if err := <-lifted; err == nil {
				t.Error("who has gone has an answer")
			}
			eventually(t, "nobody waits", func() bool { return h.errands.find(id, "gw1") == nil })
			hangUp()
			eventually(t, "it does no more errands", func() bool { h.errands.mu.Lock(); defer h.errands.mu.Unlock(); return len(h.errands.doers) == 0 })
		})
	}
	stream, err := gw.gateway("http/1.1").Watch(t.Context(), &ropewayv1.WatchRequest{}) // an agent of before
	must(t, err)
	defer func() { _ = stream.Close() }()
	eventually(t, "it is connected", func() bool { return h.outbox.connected("gw1") })
	if _, err := ann.routing().Undrain(t.Context(), &ropewayv1.UndrainRequest{Gateway: "gw1"}); err == nil || !strings.Contains(err.Error(), "RW7310") {
		t.Errorf("an agent that does no errands: %v", err)
	}
}

// What a gateway reports of its sessions people see: in short beside everything else, and whole where they ask for it. It is its own it reports, and no more than is
// bounded.
func TestSessions(t *testing.T) {
	h := serveHere(t)
	h.apply(0, fileWithBGP())
	gw := h.somebody("gateway/gw1")
	stream, err := gw.gateway("http/1.1").Watch(t.Context(), &ropewayv1.WatchRequest{})
	must(t, err)
	defer func() { _ = stream.Close() }()
	report := func(r *ropewayv1.Routing) {
		t.Helper()
		_, err := gw.gateway("h2").Report(t.Context(), &ropewayv1.ReportRequest{Healthy: true, Routing: r})
		must(t, err)
	}
	eve := h.somebody("viewer/eve")
	list := func(who *somebody, gateway string) []*ropewayv1.GatewaySessions {
		t.Helper()
		answer, err := who.routing().ListSessions(t.Context(), &ropewayv1.ListSessionsRequest{Gateway: gateway})
		must(t, err)
		return answer.Gateways
	}
	eventually(t, "it is connected", func() bool { return h.outbox.connected("gw1") })
	many := &ropewayv1.Routing{Daemon: "frr", Running: true, Total: 1500, Up: 1460}
	for i := range 1500 {
		many.Sessions = append(many.Sessions, &ropewayv1.Session{Neighbor: fmt.Sprintf("n%d\x1b[2J", i), Up: i >= 40, State: "Idle"})
	}
	report(many)
	got := list(eve, "gw1")
	if len(got) != 1 || len(got[0].Routing.Sessions) != mostSessions || got[0].Routing.Sessions[0].Neighbor != `n0\x1b[2J` || got[0].At == nil {
		t.Errorf("%d gateways, %d sessions", len(got), len(got[0].GetRouting().GetSessions()))
	}
	if r := h.gw1().Reported.Routing; len(r.Sessions) != mostDown || r.Total != 1500 || r.Up != 1460 || r.Sessions[0].Up {
		t.Errorf("beside everything else there are %d sessions", len(r.GetSessions()))
	}
	if said := shared(h.reported["gw1"].ReportRequest); len(said.Routing.Sessions) != sharedDown || proto.Size(said) > shareAtMost {
		t.Errorf("other controllers hear of %d sessions, in %d bytes", len(said.Routing.Sessions), proto.Size(said))
	}
	if got := list(h.somebody("viewer/west", "west"), ""); len(got) != 0 {
		t.Errorf("of another's place she sees %v", got)
	}
	before := h.pulse.state()
	moved := proto.CloneOf(many)
	moved.Sessions[0].Since = nil
	report(moved)
	if h.pulse.state() != before {
		t.Error("nothing changed, and whoever watches is told")
	}
	moved.Sessions[0].Flaps++
	report(moved)
	if h.pulse.state() == before {
		t.Error("a session flapped, and whoever watches is not told")
	}
	report(nil)
	if got := list(eve, ""); len(got) != 1 || got[0].Routing != nil || h.gw1().Reported.Routing != nil {
		t.Errorf("routing is static now: %v", got)
	}
	_, err = eve.routing().ListSessions(t.Context(), &ropewayv1.ListSessionsRequest{Gateway: "gw9"})
	if err == nil || !strings.Contains(err.Error(), "RW7507") {
		t.Errorf("of a gateway that there is not: %v", err)
	}
}
