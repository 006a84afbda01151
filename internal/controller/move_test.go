package controller

import (
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/courier"
	"ropeway/internal/files"
	"ropeway/internal/member"
	"ropeway/internal/role"
	"ropeway/internal/store"
)

// A wall stands before a controller. When it falls, connections break as they do when a process is killed.
type wall struct {
	listener net.Listener
	mu       sync.Mutex
	open     []net.Conn
}

func newWall(t *testing.T, to string) *wall {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	g := &wall{listener: l}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			g.mu.Lock()
			g.open = append(g.open, in, out)
			g.mu.Unlock()
			all.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
			all.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
		}
	})
	t.Cleanup(func() { g.fall(); all.Wait() })
	return g
}

func (g *wall) fall() {
	_ = g.listener.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.open {
		_ = c.Close()
	}
}

// A gateway that enrolled when there was one controller learns of the other by itself, and goes there when the first is gone.
func TestGatewaysMove(t *testing.T) {
	s := openAt(t, store.Options{Dir: filepath.Join(t.TempDir(), "store")})
	dir := filepath.Join(t.TempDir(), "authority")
	first := serveAt(t, "first", dir, s)
	before := newWall(t, first.opts.Listen)
	door := "https://" + before.listener.Addr().String()
	eventually(t, "the first is known by what is before it", func() bool {
		list, err := s.Controllers(t.Context())
		must(t, err)
		return len(list) > 0 && s.Announce(t.Context(), store.Controller{Name: "first", URL: door, Peer: s.Self(), At: time.Now()}) == nil
	})
	tok, _, err := first.FirstToken(t.Context(), role.Identity{Role: role.Gateway, Name: "gw1"}, time.Hour)
	must(t, err)
	state := filepath.Join(t.TempDir(), "state")
	must(t, files.SecretDir(state))
	eventually(t, "the gateway is enrolled", func() bool {
		_, err := member.Enroll(t.Context(), courier.MemberFile(state), door, tok, member.Beside{})
		return err == nil
	})
	second := serveAt(t, "second", dir, s)
	eventually(t, "the first knows of the second", func() bool { return strings.Contains(first.addresses.get(), second.url) })
	c, err := courier.New(courier.Options{State: state, Log: slog.New(slog.DiscardHandler), Status: func() courier.Status { return courier.Status{Healthy: true} }})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	eventually(t, "the gateway watches the first", func() bool { return first.outbox.connected("gw1") })

	_, _, err = first.desk.apply(t.Context(), change{author: "a", name: "f", file: file(open), at: time.Unix(1, 0)})
	must(t, err)
	viewer := second.person(t, role.Identity{Role: role.Viewer, Name: "eve"})
	client, err := viewer.HTTP(second.url)
	must(t, err)
	t.Cleanup(client.CloseIdleConnections)
	fabric := ropewayv1connect.NewFabricServiceClient(client, second.url)
	eventually(t, "who asks the second sees the gateway", func() bool {
		answer, err := fabric.ListGateways(t.Context(), &ropewayv1.ListGatewaysRequest{})
		return err == nil && len(answer.Gateways) == 2 && answer.Gateways[0].Connected && answer.Gateways[0].Reported.GetHealthy() && !answer.Gateways[1].Connected
	})
	eventually(t, "the gateway knows of the second", func() bool {
		m, err := member.Load(courier.MemberFile(state))
		return err == nil && slices.Equal(m.Servers, []string{door, second.url})
	})
	before.fall()
	killed := time.Now()
	eventually(t, "the gateway watches the second", func() bool { return second.outbox.connected("gw1") })
	t.Logf("the gateway was back after %v", time.Since(killed))
}
