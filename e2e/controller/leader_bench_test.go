package controller_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/bench"
	"ropeway/internal/agent"
	"ropeway/internal/courier"
	membership "ropeway/internal/member"
	"ropeway/internal/nstest"
)

// BenchmarkLeaderKilled: of three controllers the leader is killed. How long is it until a write is acknowledged that somebody asks a follower for in that very
// moment, when nobody knows yet that there is no leader; and until a gateway that watched the leader hears another controller. Everything is on one
// machine, so elections take as long as etcd waits for a leader that is silent, and packets no time.
func BenchmarkLeaderKilled(b *testing.B) {
	const turns, writes, moves = 5, 3 * time.Second, time.Second
	w, all := three(b)
	for b.Loop() {
		var acknowledged, moved []time.Duration
		for turn := range turns {
			leader := w.leader()
			follower := (leader + 1) % 3
			g := w.gateways[turn%len(w.gateways)]
			g.watches(w.door(leader + 1))
			killed := time.Now()
			all[fmt.Sprint("c", leader+1)].kill()
			heard := make(chan time.Duration)
			go func() { heard <- g.hears(killed) }()
			w.write(follower+1, turn)
			acknowledged = append(acknowledged, time.Since(killed))
			moved = append(moved, <-heard)
			b.Logf("a write was acknowledged after %s, a gateway heard another controller after %s", acknowledged[turn], moved[turn])
			all[fmt.Sprint("c", leader+1)] = w.controllerAt(leader + 1)
			w.allServe("c1", "c2", "c3")
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(bench.Median(moved))/1e6, "move-p50-ms")
		if last := slices.Max(moved); last > moves {
			bench.Miss(b, "a gateway moved after %s, want at most %s", last, moves)
		}
		if last := slices.Max(acknowledged); last > writes {
			bench.Miss(b, "a write was acknowledged after %s, want at most %s", last, writes)
		}
		bench.Within(b, acknowledged, writes)
	}
}

func (w *world) door(n int) string { return fmt.Sprint("https://192.0.2.100:844", n) }

// leader returns the number of the controller that leads, from 0.
func (w *world) leader() (n int) {
	w.t.Helper()
	eventually(w.t, long, "somebody leads", func() bool {
		for name, m := range w.cluster() {
			if m.Role == "leader" {
				_, err := fmt.Sscanf(name, "c%d", &n)
				n--
				return err == nil
			}
		}
		return false
	})
	return n
}

// write makes a token at a controller, and tries until it is acknowledged.
func (w *world) write(n, turn int) {
	w.t.Helper()
	m, err := membership.Load(w.path("person-admin/member.json"))
	must(w.t, err)
	m.Dial = func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		nstest.In(w.t, w.office, func() { conn, err = (&net.Dialer{}).DialContext(ctx, network, address) })
		return conn, err
	}
	var client *http.Client
	client, err = m.HTTP(w.door(n))
	must(w.t, err)
	defer client.CloseIdleConnections()
	access := ropewayv1connect.NewAccessServiceClient(client, w.door(n))
	eventually(w.t, long, "a write is acknowledged", func() bool {
		_, err := access.CreateToken(w.t.Context(), &ropewayv1.CreateTokenRequest{Identity: fmt.Sprintf("viewer/v%d", turn)})
		return err == nil
	})
}

// watches has a gateway watch one of the controllers, and returns when it heard that one.
func (g *gateway) watches(door string) {
	g.w.t.Helper()
	g.agent.kill()
	path := courier.MemberFile(g.path("state"))
	text, err := os.ReadFile(path)
	must(g.w.t, err)
	var kept map[string]any
	must(g.w.t, json.Unmarshal(text, &kept))
	kept["servers"] = []string{door}
	text, err = json.Marshal(kept)
	must(g.w.t, err)
	must(g.w.t, os.WriteFile(path, text, 0o600))
	begun := time.Now()
	g.run()
	g.hears(begun)
	eventually(g.w.t, long, "the gateway knows of all controllers", func() bool {
		m, err := membership.Load(path)
		return err == nil && m.Servers[0] == door && len(m.Servers) == 3
	})
}

// hears returns how long after some moment a gateway heard a controller that it began to hear later.
func (g *gateway) hears(since time.Time) time.Duration {
	for time.Since(since) < long {
		time.Sleep(5 * time.Millisecond)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		status, err := agent.Ask(ctx, g.path("run/ropeway"))
		cancel()
		if err == nil && status.Controller != nil && status.Controller.Heard != nil && status.Controller.Heard.After(since) {
			return status.Controller.Heard.Sub(since)
		}
	}
	return long
}
