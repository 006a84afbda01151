package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ropewayv1 "ropeway/api/ropeway/v1"
)

// What a line writes is what package proto and the Connect protocol make of it.
func TestWatchMessage(t *testing.T) {
	for _, signed := range []*ropewayv1.SignedGrant{nil, {Grant: []byte("plan"), Signature: []byte("name")}, {Grant: make([]byte, 300_000), Signature: make([]byte, 64)},
		{Grant: []byte("plan"), Signature: []byte("name"), Size: 300, Root: make([]byte, 32), Index: 299, Path: make([]byte, 288)}} {
		want, err := proto.Marshal(&ropewayv1.WatchResponse{Grant: signed})
		must(t, err)
		envelope := append([]byte{0, byte(len(want) >> 24), byte(len(want) >> 16), byte(len(want) >> 8), byte(len(want))}, want...)
		if got := fmt.Sprintf("%x\r\n%s\r\n", len(envelope), envelope); got != string(watchMessage(&ropewayv1.WatchResponse{Grant: signed})) {
			t.Errorf("a grant of %d bytes: another message", len(signed.GetGrant()))
		}
	}
}

// ways are how a gateway may watch.
var ways = map[string]struct {
	protocol string
	opts     []connect.ClientOption
	lean     bool
}{
	"a line":              {"http/1.1", nil, true},
	"Connect over HTTP/2": {"h2", nil, false},
	"gRPC":                {"h2", []connect.ClientOption{connect.WithGRPC()}, false},
	"JSON":                {"http/1.1", []connect.ClientOption{connect.WithProtoJSON()}, false},
}

// TestWatching: in every way a gateway has its plan, then each newer one, and is connected as long as it watches and no longer.
func TestWatching(t *testing.T) {
	h := serveHere(t)
	h.apply(0, file(open))
	gw := h.somebody("gateway/gw1")
	number := uint64(1)
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stream, err := gw.gateway(way.protocol, way.opts...).Watch(ctx, &ropewayv1.WatchRequest{Epoch: 0})
			must(t, err)
			next := func() uint64 {
				t.Helper()
				for stream.Receive() {
					if signed := stream.Msg().GetGrant(); signed != nil {
						epoch, err := epochOf(signed)
						must(t, err)
						return epoch
					}
				}
				t.Fatalf("the stream ended: %v", stream.Err())
				return 0
			}
			if got := next(); got != number {
				t.Errorf("the first has epoch %d, want %d", got, number)
			}
			if lines := h.lines.count(); lines == 1 != way.lean {
				t.Errorf("there are %d lines", lines)
			}
			if !h.outbox.connected("gw1") {
				t.Error("it is not connected")
			}
			for range 2 {
				text := file(open)
				if number%2 == 1 {
					text = file(closed)
				}
				number = h.apply(number, text)
				if got := next(); got != number {
					t.Errorf("got epoch %d, want %d", got, number)
				}
			}
			cancel()
			eventually(t, "it is no longer connected", func() bool { return !h.outbox.connected("gw1") })
		})
	}
	eventually(t, "no line is left", func() bool { return h.lines.count() == 0 })
}

// count returns how many there are.
func (ls *lines) count() int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return len(ls.all)
}

// TestRevocation: one who is revoked while he watches is cut off at once, in every way, and hears why.
func TestRevocation(t *testing.T) {
	h := serveHere(t)
	h.apply(0, file(open))
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			gw := h.somebody("gateway/gw1")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			stream, err := gw.gateway(way.protocol, way.opts...).Watch(ctx, &ropewayv1.WatchRequest{})
			must(t, err)
			if !stream.Receive() {
				t.Fatal(stream.Err())
			}
			must(t, h.opts.Store.Revoke(t.Context(), "gateway/gw1"))
			for stream.Receive() {
			}
			if connect.CodeOf(stream.Err()) != connect.CodePermissionDenied {
				t.Errorf("it ended with %v", stream.Err())
			}
			if _, err := gw.gateway("h2").Report(t.Context(), &ropewayv1.ReportRequest{}); connect.CodeOf(err) != connect.CodePermissionDenied {
				t.Errorf("it may report still: %v", err)
			}
		})
	}
}

// TestOddRequests: what is no request to watch gets no line.
func TestOddRequests(t *testing.T) {
	h := serveHere(t)
	h.apply(0, file(open))
	gw := h.somebody("gateway/gw1")
	const head = "POST /ropeway.v1.GatewayService/Watch HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+proto\r\nConnect-Protocol-Version: 1\r\n"
	with := func(body string) string { return head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body) }
	for name, text := range map[string]string{
		"no envelope":          with("\x00"),
		"a wrong length":       with("\x00\x00\x00\x00\x09"),
		"two messages":         with("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
		"a compressed one":     with("\x01\x00\x00\x00\x00"),
		"no message":           with("\x00\x00\x00\x00\x02\xff\xff"),
		"a large one":          with("\x00\x00\x00\x10\x00" + strings.Repeat("\x00", 4096)),
		"a compressed body":    strings.Replace(with("\x00\x00\x00\x00\x00"), "Connect-Protocol", "Connect-Content-Encoding: br\r\nConnect-Protocol", 1),
		"GET":                  strings.Replace(with(""), "POST", "GET", 1),
		"another type":         strings.Replace(with("{}"), "connect+proto", "connect+yaml", 1),
		"one after the other":  with("\x00\x00\x00\x00\x00") + with("\x00\x00\x00\x00\x00"),
		"a watch with garbage": with("\x00\x00\x00\x00\x00") + "garbage",
	} {
		answer := gw.raw(text)
		if strings.Contains(answer, "GatewayPlan") {
			t.Errorf("%s: it got a plan", name)
		}
	}
	eventually(t, "no line is left", func() bool {
		return h.lines.count() == 0
	})
}

// TestSlowReader: one who does not read what he is sent holds up nobody, and the newest is what he finds.
func TestSlowReader(t *testing.T) {
	h := serveHere(t)
	n := h.apply(0, file(open))
	slow, quick := h.somebody("gateway/gw1"), h.somebody("gateway/gw2")
	conn, err := tls.Dial("tcp", h.address, slow.config("http/1.1"))
	must(t, err)
	defer func() { _ = conn.Close() }()
	body := "\x00\x00\x00\x00\x00"
	_, err = fmt.Fprintf(conn, "POST /ropeway.v1.GatewayService/Watch HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+proto\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	must(t, err)
	eventually(t, "the slow one watches", func() bool { return h.outbox.connected("gw1") })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := quick.gateway("http/1.1").Watch(ctx, &ropewayv1.WatchRequest{})
	must(t, err)
	for turn := range 20 {
		text := file(open)
		if turn%2 == 0 {
			text = file(closed)
		}
		n = h.apply(n, text)
		for epoch := uint64(0); epoch < n; {
			if !stream.Receive() {
				t.Fatal(stream.Err())
			}
			if signed := stream.Msg().GetGrant(); signed != nil {
				epoch, err = epochOf(signed)
				must(t, err)
			}
		}
	}
	must(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	var all strings.Builder
	for !strings.Contains(all.String(), fmt.Sprintf("\x18%c\"", n)) { // field 3, the epoch, then field 4
		piece := make([]byte, 4096)
		got, err := conn.Read(piece)
		all.Write(piece[:got])
		if err != nil {
			if errors.Is(err, io.EOF) {
				t.Fatal("it was cut off")
			}
			t.Fatal(err)
		}
	}
}

// epochOf reads the epoch of a grant: that one field, so that a thousand who do so at once, on the machine that is measured, do not copy a thousand plans.
func epochOf(signed *ropewayv1.SignedGrant) (uint64, error) {
	epoch, err := field(signed.Grant, 3) // in gateway.proto
	return epoch.number, err
}
