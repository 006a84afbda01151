package firewall

import (
	"context"
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"ropeway/internal/plan"
)

// both is a rule from the place to 10.2/16 and fd02::/48, and nothing back.
func both(tb testing.TB, services ...string) plan.Rule {
	return plan.Rule{
		ID: 1, Direction: plan.Out, From: pfx("10.1.0.0/16", "fd01::/48"), To: pfx("10.2.0.0/16", "fd02::/48"),
		Services: svc(tb, services...),
	}
}

func udp(src, dst string, dport uint16) packet {
	return packet{src: addr(src), dst: addr(dst), proto: unix.IPPROTO_UDP, sport: 40000, dport: dport}
}

func tcp(src, dst string, dport uint16) packet {
	p := udp(src, dst, dport)
	p.proto = unix.IPPROTO_TCP
	return p
}

func ping(src, dst string) packet {
	return packet{src: addr(src), dst: addr(dst), proto: unix.IPPROTO_ICMP, sport: 77}
}

// TestPackets sends packets one after the other through one gateway: what came before matters where the first of a flow has to
// open it.
func TestPackets(t *testing.T) {
	w := newWorld(t)
	w.apply(gateway(
		both(t, "tcp/443", "udp/53", "udp/8000-8100", "icmp"),
		plan.Rule{ID: 2, Direction: plan.In, From: pfx("10.2.5.0/24"), To: pfx("10.1.7.0/24"), Services: svc(t, "tcp/1-65535")},
		plan.Rule{ID: 3, Direction: plan.Transit, From: pfx("10.2.0.0/16"), To: pfx("10.3.0.0/16")},
	))
	allowed, allowed6 := udp("10.1.0.5", "10.2.0.5", 53), udp("fd01::5", "fd02::5", 53)
	denied := udp("10.1.0.5", "10.2.0.5", 54)
	ending := tcp("10.1.0.5", "10.2.0.6", 443)
	tests := []struct {
		what   string
		from   string
		packet packet
		want   string
	}{
		{"an answer before its question", "rw0", allowed.answer(), ""},
		{"allowed UDP", "eth0", allowed, "rw0"},
		{"its answer", "rw0", allowed.answer(), "eth0"},
		{"an error about it, from an address that no rule names", "rw0",
			packet{src: addr("203.0.113.9"), dst: allowed.src, proto: unix.IPPROTO_ICMP, icmpType: 3, about: allowed.bytes()}, "eth0"},
		{"an error about a flow that was denied", "rw0",
			packet{src: addr("203.0.113.9"), dst: denied.src, proto: unix.IPPROTO_ICMP, icmpType: 3, about: denied.bytes()}, ""},
		{"a port that no rule names", "eth0", denied, ""},
		{"allowed UDP over IPv6", "eth0", allowed6, "rw0"},
		{"its answer over IPv6", "rw0", allowed6.answer(), "eth0"},
		{"packet too big about it", "rw0",
			packet{src: addr("2001:db8:ffff::9"), dst: allowed6.src, proto: unix.IPPROTO_ICMPV6, icmpType: 2, about: allowed6.bytes()}, "eth0"},
		{"the same port of TCP", "eth0", tcp("10.1.0.5", "10.2.0.5", 53), ""},
		{"allowed TCP", "eth0", tcp("10.1.0.5", "10.2.0.5", 443), "rw0"},
		{"its answer", "rw0", tcp("10.1.0.5", "10.2.0.5", 443).answer(), "eth0"},
		{"an answer to TCP that nobody sent", "rw0", ending.answer(), ""},
		{"TCP to a port whose bytes are 443's swapped", "eth0", tcp("10.1.0.5", "10.2.0.5", 0xbb01), ""},
		{"below a range", "eth0", udp("10.1.0.5", "10.2.0.5", 7999), ""},
		{"the first of a range", "eth0", udp("10.1.0.5", "10.2.0.5", 8000), "rw0"},
		{"the last of a range", "eth0", udp("10.1.0.5", "10.2.0.5", 8100), "rw0"},
		{"above a range", "eth0", udp("10.1.0.5", "10.2.0.5", 8101), ""},
		{"the first of a range, bytes swapped", "eth0", udp("10.1.0.5", "10.2.0.5", 0x401f), ""},
		{"a ping", "eth0", ping("10.1.0.5", "10.2.0.5"), "rw0"},
		{"its answer", "rw0", ping("10.1.0.5", "10.2.0.5").answer(), "eth0"},
		{"a ping over IPv6", "eth0", ping("fd01::5", "fd02::5"), "rw0"},
		{"its answer", "rw0", ping("fd01::5", "fd02::5").answer(), "eth0"},
		{"a ping the other way", "rw0", ping("10.2.0.5", "10.1.0.9"), ""},
		{"another protocol than the rule's", "eth0", packet{src: addr("10.1.0.5"), dst: addr("10.2.0.5"), proto: 253}, ""},
		{"a source beside the place", "eth0", udp("10.4.0.5", "10.2.0.5", 53), ""},
		{"an address with the bytes of an allowed one swapped", "eth0", udp("5.0.1.10", "10.2.0.5", 53), ""},
		{"a flow in", "rw0", tcp("10.2.5.1", "10.1.7.1", 22), "eth0"},
		{"its answer", "eth0", tcp("10.2.5.1", "10.1.7.1", 22).answer(), "rw0"},
		{"a flow in from beside the rule's source", "rw0", tcp("10.2.6.0", "10.1.7.1", 22), ""},
		{"a flow in to beside the rule's destination", "rw0", tcp("10.2.5.1", "10.1.8.0", 22), ""},
		{"the last address of both prefixes, the last port", "rw0", tcp("10.2.5.255", "10.1.7.255", 65535), "eth0"},
		{"a flow in that claims to be of the place", "rw0", tcp("10.1.0.5", "10.1.7.1", 22), ""},
		{"a flow in that claims to be of the fabric, out to the rest of the world", "rw0", udp("10.2.5.1", "198.51.100.7", 53), ""},
		{"transit", "rw0", udp("10.2.5.1", "10.3.0.1", 1), "rw1"},
		{"transit of a protocol of its own", "rw0", packet{src: addr("10.2.5.2"), dst: addr("10.3.0.1"), proto: 253}, "rw1"},
		{"transit the other way", "rw1", udp("10.3.0.9", "10.2.5.9", 1), ""},
		{"transit from a source beside", "rw0", udp("10.4.5.1", "10.3.0.1", 1), ""},
		{"from the place to a device whose prefixes no rule names", "eth0", udp("10.1.0.5", "10.3.0.1", 53), ""},
		{"what crosses no device", "eth0", udp("10.1.0.5", "198.51.100.7", 53), "wan0"},
		{"what crosses no device, the other way", "wan0", udp("198.51.100.7", "10.1.0.5", 1234), "eth0"},
		{"within the place", "eth0", udp("10.1.0.5", "10.1.0.6", 53), "eth0"},
	}
	for _, tt := range tests {
		if got := w.passes(tt.from, tt.packet); got != tt.want {
			t.Errorf("%s: %s, from %s: left by %q, want %q", tt.what, tt.packet, tt.from, got, tt.want)
		}
	}
	if t.Failed() {
		t.Log(nftRun(t, "list table inet ropeway"))
	}
}

// TestGuard takes the device away and sees that nothing goes in clear, not even a flow that is established.
func TestGuard(t *testing.T) {
	w := newWorld(t)
	g := gateway(both(t))
	w.apply(g)
	for i, p := range []packet{udp("10.1.0.5", "10.2.0.5", 53), udp("fd01::5", "fd02::5", 53)} {
		if got := w.passes("eth0", p); got != "rw0" {
			t.Fatalf("%s left by %q", p, got)
		}
		if got := w.passes("rw0", p.answer()); got != "eth0" {
			t.Fatalf("the answer to %s left by %q", p, got)
		}
		w.route("wan0", []string{"10.2.0.0/16", "fd02::/48"}[i])
		if got := w.passes("eth0", p); got != "" {
			t.Errorf("%s left in clear by %q", p, got)
		}
		fresh := p
		fresh.sport = 5
		if got := w.passes("eth0", fresh); got != "" {
			t.Errorf("a new flow %s left in clear by %q", p, got)
		}
	}
	counters, err := w.fw.Counters(t.Context())
	if err != nil || counters.Dropped["guard"].Packets != 4 || counters.Dropped["guard"].Bytes != 2*32+2*52 {
		t.Errorf("counters %+v, %v: want 4 packets of 168 bytes at the guard", counters, err)
	}
	if counters.Access[1].Packets != 2 {
		t.Errorf("access 1 counted %+v, want the two that opened flows", counters.Access[1])
	}
}

// TestToGateway sends to the gateway's own addresses.
func TestToGateway(t *testing.T) {
	w := newWorld(t)
	w.apply(gateway())
	w.route("rw0", "203.0.113.0/24", "2001:db8:1::/64")
	answered := func(from string, p packet) bool {
		w.settle()
		delete(w.last, from)
		w.send(from, p)
		w.settle()
		return w.last[from] != nil
	}
	udpClosed := udp("203.0.113.5", "192.0.2.2", 9999)
	if !answered("rw0", ping("203.0.113.5", "192.0.2.2")) || !answered("rw0", ping("2001:db8:1::5", "2001:db8::2")) {
		t.Error("the gateway answers no ping out of a device")
	}
	if answered("rw0", udpClosed) || answered("rw0", tcp("203.0.113.5", "192.0.2.2", 22)) || answered("rw0", tcp("2001:db8:1::5", "2001:db8::2", 22)) {
		t.Error("the gateway answers out of a device to what should not reach it")
	}
	w.route("eth0", "203.0.113.0/24")
	if !answered("eth0", udpClosed) {
		t.Error("the gateway's other interfaces are none of our business, and one gives no answer")
	}
	w.route("rw0", "203.0.113.0/24")
	counters, err := w.fw.Counters(t.Context())
	if err != nil || counters.Dropped["input"].Packets != 3 {
		t.Errorf("counters %+v, %v: want 3 packets dropped on their way to the gateway", counters, err)
	}
}

// TestClamp sends handshakes over routes with an MTU.
func TestClamp(t *testing.T) {
	w := newWorld(t)
	w.apply(gateway(both(t)))
	mtu(t, "rw0", 1380)
	for _, tt := range []struct {
		packet     packet
		mss, want  uint16
		from, away string
	}{
		{tcp("10.1.0.5", "10.2.0.5", 443), 1460, 1340, "eth0", "rw0"},
		{tcp("10.1.0.5", "10.2.0.5", 443).answer(), 1460, 1340, "rw0", "eth0"},
		{tcp("10.1.0.6", "10.2.0.5", 443), 1200, 1200, "eth0", "rw0"},
		{tcp("fd01::5", "fd02::5", 443), 1440, 1320, "eth0", "rw0"},
		{tcp("10.1.0.5", "198.51.100.7", 443), 1460, 1460, "eth0", "wan0"},
	} {
		p := tt.packet
		p.mss = tt.mss
		p.mark = 0xffffffff // leaves no mark to be collected
		w.settle()
		w.inject(tt.from, p.bytes())
		w.collect()
		got := w.last[tt.away]
		offset := 20
		if p.src.Is6() {
			offset = 40
		}
		if len(got) < offset+24 {
			t.Errorf("%s: lost", p)
			continue
		}
		if mss := binary.BigEndian.Uint16(got[offset+22:]); mss != tt.want {
			t.Errorf("%s: MSS %d became %d, want %d", p, tt.mss, mss, tt.want)
		}
	}
}

// TestCountersSurvive changes elements and rules and sees that flows and counters go on.
func TestCountersSurvive(t *testing.T) {
	w := newWorld(t)
	w.apply(gateway(both(t, "udp/53")))
	flow := udp("10.1.0.5", "10.2.0.5", 53)
	if got := w.passes("eth0", flow); got != "rw0" {
		t.Fatalf("left by %q", got)
	}
	extra := plan.Rule{ID: 2, Direction: plan.Out, From: pfx("10.1.0.0/24"), To: pfx("10.3.0.0/16")}
	w.apply(gateway(both(t, "udp/53"), extra))
	if got := w.passes("rw0", flow.answer()); got != "eth0" {
		t.Errorf("after another rule came, the answer left by %q", got)
	}
	extra.From = pfx("10.1.0.0/24", "10.1.9.0/24")
	w.apply(gateway(both(t, "udp/53"), extra))
	if got := w.passes("rw0", flow.answer()); got != "eth0" {
		t.Errorf("after another element came, the answer left by %q", got)
	}
	counters, err := w.fw.Counters(t.Context())
	if err != nil || counters.Access[1].Packets != 1 {
		t.Errorf("counters %+v, %v: access 1 should still say 1", counters, err)
	}
}

func TestRemove(t *testing.T) {
	w := newWorld(t)
	nftText(t, []byte("table inet other {\n chain c {\n type filter hook forward priority 5;\n }\n}\ntable ip ropeway {\n}\n"))
	if err := w.fw.Remove(t.Context()); err != nil {
		t.Errorf("remove a table that is not there: %v", err)
	}
	w.apply(gateway(both(t)))
	for range 2 {
		if err := w.fw.Remove(t.Context()); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
	const others = "table inet other\ntable ip ropeway\n"
	if got := nftRun(t, "list tables"); got != others {
		t.Errorf("tables left:\n%s", got)
	}
	state, err := w.fw.Observe(t.Context())
	if err != nil || state.Present() {
		t.Errorf("present after removal: %v, %v", state.Present(), err)
	}
	w.apply(gateway(both(t)))
	if got := nftRun(t, "list tables"); got != "table inet other\ntable ip ropeway\ntable inet ropeway\n" {
		t.Errorf("tables after apply:\n%s", got)
	}
}

func TestCancelled(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.fw.Apply(ctx, gateway()); err == nil {
		t.Error("applied after the context was cancelled")
	}
	if got := nftRun(t, "list tables"); got != "" {
		t.Errorf("tables: %s", got)
	}
	w.apply(gateway())
}
