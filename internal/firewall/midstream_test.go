package firewall

import (
	"testing"

	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// midstreamPlan lets one side open flows, and the other answer them, in every direction.
func midstreamPlan(tb testing.TB, answers ...plan.Direction) *plan.Gateway {
	tb.Helper()
	g := gateway(
		both(tb, "tcp/443", "tcp/8000-8100", "udp/53", "icmp"),
		plan.Rule{ID: 2, Direction: plan.In, From: pfx("10.2.5.0/24"), To: pfx("10.1.7.0/24"), Services: svc(tb, "tcp/22")},
		plan.Rule{ID: 3, Direction: plan.Transit, From: pfx("10.2.0.0/16"), To: pfx("10.3.0.0/16")},
		plan.Rule{ID: 4, Direction: plan.Out, From: pfx("10.1.0.0/16"), To: pfx("10.3.9.0/24"), Services: svc(tb, "udp/53")},
	)
	g.Firewall.Answers = answers
	return g
}

// segment is what the other end sends back to a TCP flow that nobody here has seen.
func segment(src string, sport uint16, dst string, flags byte) packet {
	p := tcp(src, dst, 40001)
	p.sport, p.flags, p.ack = sport, flags, 1
	return p
}

// TestMidstream sends what flows that were opened elsewhere bring, and what only looks like it.
func TestMidstream(t *testing.T) {
	const client, server = "10.1.0.5", "10.2.0.5"
	reply := ping(client, server).answer()
	typed := func(p packet, kind byte) packet {
		p.icmpType = kind
		return p
	}
	tests := []struct {
		what   string
		from   string
		packet packet
		want   string // by which interface it leaves where answers pass; nothing here passes where none do
	}{
		{"a segment with data", "rw0", segment(server, 443, client, tcpAck|tcpPsh), "eth0"},
		{"a SYN-ACK", "rw0", segment(server, 443, client, tcpSyn|tcpAck), "eth0"},
		{"the end of a stream", "rw0", segment(server, 443, client, tcpFin|tcpAck), "eth0"},
		{"a reset", "rw0", segment(server, 443, client, tcpRst), "eth0"},
		{"a reset that acknowledges", "rw0", segment(server, 443, client, tcpRst|tcpAck), "eth0"},
		{"a segment over IPv6", "rw0", segment("fd02::5", 443, "fd01::5", tcpAck), "eth0"},
		{"the first of a range", "rw0", segment(server, 8000, client, tcpAck), "eth0"},
		{"the last of a range", "rw0", segment(server, 8100, client, tcpAck), "eth0"},
		{"out of the place", "eth0", segment("10.1.7.1", 22, "10.2.5.1", tcpAck), "rw0"},
		{"from a device into a device", "rw1", segment("10.3.0.1", 5, "10.2.5.1", tcpSyn|tcpAck), "rw0"},
		{"an echo reply", "rw0", reply, "eth0"},
		{"an echo reply over IPv6", "rw0", ping("fd01::5", "fd02::5").answer(), "eth0"},
		{"an echo reply by a rule for everything", "rw1", ping("10.2.5.1", "10.3.0.1").answer(), "rw0"},

		{"a SYN from the server's port", "rw0", segment(server, 443, client, tcpSyn), ""},
		{"a SYN by a rule for everything", "rw1", segment("10.3.0.1", 5, "10.2.5.1", tcpSyn), ""},
		{"no flag", "rw0", segment(server, 443, client, tcpPsh), ""},
		{"a FIN alone", "rw0", segment(server, 443, client, tcpFin), ""},
		{"a SYN with a FIN", "rw0", segment(server, 443, client, tcpSyn|tcpFin), ""},
		{"from another port", "rw0", segment(server, 444, client, tcpAck), ""},
		{"from below a range", "rw0", segment(server, 7999, client, tcpAck), ""},
		{"from above a range", "rw0", segment(server, 8101, client, tcpAck), ""},
		{"to the port of the rule", "rw0", tcpTo(segment(server, 40000, client, tcpAck), 443), ""},
		{"from a server that no rule names", "rw0", segment("10.4.0.5", 443, client, tcpAck), ""},
		{"to a client that no rule names", "rw0", segment("10.2.5.1", 22, "10.1.7.1", tcpAck), ""},
		{"of UDP", "rw0", udp(client, server, 53).answer(), ""},
		{"of UDP by a rule for everything", "rw1", udp("10.2.5.1", "10.3.0.1", 53).answer(), ""},
		{"of TCP by a rule for UDP", "rw1", segment("10.3.9.1", 53, client, tcpAck), ""},
		{"another protocol by a rule for everything", "rw1", packet{src: addr("10.3.0.1"), dst: addr("10.2.5.1"), proto: 253}, ""},
		{"an echo request", "rw0", ping(server, client), ""},
		{"an echo reply by a rule for UDP", "rw1", ping(client, "10.3.9.1").answer(), ""},
		{"a timestamp reply", "rw0", typed(reply, 14), ""},
		{"a redirect", "rw0", typed(reply, 5), ""},
	}
	for _, on := range []bool{false, true} {
		w := newWorld(t)
		g := midstreamPlan(t)
		if on {
			g = midstreamPlan(t, plan.Out, plan.In, plan.Transit)
		}
		w.apply(g)
		for _, tt := range tests {
			want := tt.want
			if !on {
				want = ""
			}
			if got := w.passes(tt.from, tt.packet); got != want {
				t.Errorf("%s, answers pass: %v: %s, from %s: left by %q, want %q", tt.what, on, tt.packet, tt.from, got, want)
			}
		}
	}
}

func tcpTo(p packet, port uint16) packet {
	p.dport = port
	return p
}

// TestMidstreamByDirection lets answers pass through a hub, and not into its place: each direction is decided for itself.
func TestMidstreamByDirection(t *testing.T) {
	for _, tt := range []struct {
		from    string
		packet  packet
		answers plan.Direction
		want    string
	}{
		{"rw0", segment("10.2.0.5", 443, "10.1.0.5", tcpSyn|tcpAck), plan.Out, "eth0"},
		{"eth0", segment("10.1.7.1", 22, "10.2.5.1", tcpSyn|tcpAck), plan.In, "rw0"},
		{"rw1", segment("10.3.0.1", 5, "10.2.5.1", tcpSyn|tcpAck), plan.Transit, "rw0"},
	} {
		for _, d := range []plan.Direction{plan.Out, plan.In, plan.Transit} {
			w := newWorld(t)
			w.apply(midstreamPlan(t, d))
			want := ""
			if d == tt.answers {
				want = tt.want
			}
			if got := w.passes(tt.from, tt.packet); got != want {
				t.Errorf("%s where answers pass to what goes %s: left by %q, want %q", tt.packet, d, got, want)
			}
		}
	}
}

// TestMidstreamIsPickedUp lets an answer come first: what follows, both ways, is established.
func TestMidstreamIsPickedUp(t *testing.T) {
	w := newWorld(t)
	w.apply(midstreamPlan(t, plan.Out, plan.In))
	answer := segment("10.2.0.5", 443, "10.1.0.5", tcpAck)
	question := tcp("10.1.0.5", "10.2.0.5", 443)
	question.sport, question.flags = answer.dport, tcpAck
	for _, step := range []struct {
		from   string
		packet packet
		want   string
	}{{"rw0", answer, "eth0"}, {"eth0", question, "rw0"}, {"rw0", answer, "eth0"}, {"eth0", question, "rw0"}} {
		if got := w.passes(step.from, step.packet); got != step.want {
			t.Fatalf("%s left by %q, want %q", step.packet, got, step.want)
		}
	}
	counters, err := w.fw.Counters(t.Context())
	if err != nil || counters.Answers.Packets != 1 || counters.Access[1].Packets != 0 {
		t.Errorf("counters %+v, %v: want the first answer alone, and no question that opened anything", counters, err)
	}
}

// TestMidstreamSeesOneSide lets a flow be opened here whose answers all go by another gateway, as between the moves of two places.
func TestMidstreamSeesOneSide(t *testing.T) {
	w := newWorld(t)
	w.apply(midstreamPlan(t, plan.Out, plan.In))
	p := tcp("10.1.0.5", "10.2.0.5", 443)
	for _, flags := range []byte{tcpSyn, tcpAck, tcpAck | tcpPsh, tcpFin | tcpAck, tcpRst} {
		if p.flags = flags; flags != tcpSyn {
			p.seq, p.ack = 1, 1
		}
		if got := w.passes("eth0", p); got != "rw0" {
			t.Errorf("a segment with flags %#x left by %q", flags, got)
		}
	}
	p.dport = 444
	if got := w.passes("eth0", p); got != "" {
		t.Errorf("a segment to a port that no rule names left by %q", got)
	}
}

// TestMidstreamOpensNothing has a server try to turn an answer into a way to open a flow: connection tracking follows what let nothing in, too.
func TestMidstreamOpensNothing(t *testing.T) {
	w := newWorld(t)
	w.apply(midstreamPlan(t, plan.Out, plan.In))
	answer := segment("10.2.0.5", 443, "10.1.0.5", tcpAck)
	syn := answer
	syn.flags = tcpSyn
	refusal := answer.question()
	refusal.flags = tcpRst
	for i, step := range []struct {
		from   string
		packet packet
		want   string
	}{{"rw0", answer, "eth0"}, {"rw0", syn, ""}, {"rw0", answer, "eth0"}, {"eth0", refusal, "rw0"}, {"rw0", syn, ""}} {
		if got := w.passes(step.from, step.packet); got != step.want {
			t.Errorf("step %d: %s left by %q, want %q", i+1, step.packet, got, step.want)
		}
	}
}

// TestMidstreamComesBack takes a flow away and brings it back far beyond the window that was seen last.
func TestMidstreamComesBack(t *testing.T) {
	for _, on := range []bool{false, true} {
		w := newWorld(t)
		g := midstreamPlan(t)
		if on {
			g = midstreamPlan(t, plan.Out, plan.In)
		}
		w.apply(g)
		syn := tcp("10.1.0.5", "10.2.0.5", 443)
		synAck := syn.answer()
		synAck.ack = 1
		ack, back := syn, synAck
		ack.flags, ack.seq, ack.ack = tcpAck, 1, 1
		back.flags, back.seq = tcpAck, 1
		for _, p := range []packet{syn, synAck, ack, back} {
			from, to := "eth0", "rw0"
			if p.src == synAck.src {
				from, to = to, from
			}
			if got := w.passes(from, p); got != to {
				t.Fatalf("%s left by %q, want %q", p, got, to)
			}
		}
		const far = 1 << 28
		back.seq, ack.ack = far, far
		wantBack, wantAck := "", ""
		if on {
			wantBack, wantAck = "eth0", "rw0"
		}
		if got := w.passes("rw0", back); got != wantBack {
			t.Errorf("answers pass: %v: an answer beyond the window left by %q, want %q", on, got, wantBack)
		}
		if got := w.passes("eth0", ack); got != wantAck {
			t.Errorf("answers pass: %v: what acknowledges it left by %q, want %q", on, got, wantAck)
		}
		syn.seq = far // the flow is known: a SYN in it is no segment that opens nothing
		syn.sport++
		syn.src, syn.dst, syn.sport, syn.dport = syn.dst, syn.src, syn.dport, syn.sport
		if got := w.passes("rw0", syn); got != "" {
			t.Errorf("answers pass: %v: a SYN of the server left by %q", on, got)
		}
	}
}

// TestMidstreamDrift spoils the rules for answers, and takes them away and back with a new plan.
func TestMidstreamDrift(t *testing.T) {
	w := newWorld(t)
	clean := nstest.New(t)
	with, without := midstreamPlan(t, plan.Out, plan.In, plan.Transit), midstreamPlan(t)
	for _, g := range []*plan.Gateway{without, with, without, with} {
		w.apply(g)
		checkHeld(t, w, g, clean)
	}
	nftRun(t, "flush chain inet ropeway midstream_inbound")
	if lines := w.apply(with).Lines(); len(lines) != 1 || lines[0] != "~ chain midstream_inbound: 5 rules" {
		t.Errorf("mended by %q", lines)
	}
	if got := w.passes("rw0", segment("10.2.0.5", 443, "10.1.0.5", tcpAck)); got != "eth0" {
		t.Errorf("after mending an answer left by %q", got)
	}
}
