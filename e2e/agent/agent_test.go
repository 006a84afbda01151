package agent_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"ropeway/internal/agent"
	"ropeway/internal/fabric"
	"ropeway/internal/key"
	"ropeway/internal/nstest"
)

func TestTunnel(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.gateways[0], w.gateways[1]
	b.echo()
	if a.reaches(b) {
		t.Fatal("the hosts reach each other without a tunnel")
	}
	w.start()
	took := eventually(t, 20*time.Second, "the hosts reach each other", func() bool { return a.reaches(b) })
	t.Logf("first answer %v after both agents were healthy", took)

	st := a.waitStatus("with a session", func(st *agent.Status) bool { return st.Devices[0].Peers[0].State == agent.Up })
	if st.Gateway != "gw1" || st.Fabric != "test" || st.Plan.Wanted != st.Plan.Applied || st.LastError != "" {
		t.Errorf("status: %+v", st)
	}
	if len(st.Devices) != 1 || len(st.Devices[0].Peers) != 1 || !st.Devices[0].Up {
		t.Fatalf("devices: %+v", st.Devices)
	}
	p := st.Devices[0].Peers[0]
	if p.Gateway != "gw2" || p.State != agent.Up || p.Age == nil || p.Received == 0 || p.Sent == 0 || p.Endpoint.String() != "192.0.2.2:51820" {
		t.Errorf("peer: %+v", p)
	}
	if st.Routes != (agent.RouteStatus{Wanted: 2, Installed: 2}) || !st.Firewall.InPlace {
		t.Errorf("routes %+v, firewall %+v", st.Routes, st.Firewall)
	}
	if st.Backend.Kind == "" || st.Backend.Why == "" || st.LastApply == nil || st.LastApply.Changes == 0 {
		t.Errorf("backend %+v, last apply %+v", st.Backend, st.LastApply)
	}
}

// TestDrift spoils the machine in every way that the agent promises to mend, with a plan that has not changed.
func TestDrift(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.gateways[0], w.gateways[1]
	b.echo()
	w.start()
	eventually(t, 20*time.Second, "the hosts reach each other", func() bool { return a.reaches(b) })

	table := a.table(t)
	cases := []struct {
		name  string
		spoil func(t *testing.T)
		is    func() bool // it is as it should be
	}{
		{"peer removed", func(t *testing.T) { a.wg(t, remove(b)) }, func() bool { return a.hasPeer(t, b) }},
		{"peer's prefixes changed", func(t *testing.T) { a.wg(t, clearPrefixes(b)) }, func() bool { return a.hasPeer(t, b) }},
		{"foreign peer added", func(t *testing.T) { a.wg(t, stranger(t)) }, func() bool { return a.peers(t) == 1 }},
		{"route deleted", func(t *testing.T) { a.ip(t, "route", "del", "10.2.0.0/24") }, func() bool { return a.hasRoute(t, "10.2.0.0/24") }},
		{"route's MTU changed", func(t *testing.T) {
			a.ip(t, "route", "change", "10.2.0.0/24", "dev", "rw0", "proto", "114", "mtu", "1300")
		}, func() bool { return strings.Contains(a.ip(t, "route", "show", "10.2.0.0/24"), "mtu 1440") }},
		{"nexthop deleted", func(t *testing.T) { a.ip(t, "nexthop", "flush", "proto", "114") }, func() bool { return a.hasRoute(t, "10.2.0.0/24") }},
		{"foreign route of our number", func(t *testing.T) {
			a.ip(t, "route", "add", "10.99.0.0/24", "dev", "rw0", "proto", "114")
		}, func() bool { return !a.hasRoute(t, "10.99.0.0/24") }},
		{"table flushed", func(t *testing.T) { a.nft(t, "flush", "table", "inet", "ropeway") },
			func() bool { return a.table(t) == table }},
		{"rule added", func(t *testing.T) { a.nft(t, "insert", "rule", "inet", "ropeway", "forward", "accept") },
			func() bool { return a.table(t) == table }},
		{"element removed", func(t *testing.T) { a.nft(t, "flush", "set", "inet", "ropeway", "own4") },
			func() bool { return a.table(t) == table }},
		{"table deleted", func(t *testing.T) { a.nft(t, "delete", "table", "inet", "ropeway") },
			func() bool { return a.table(t) == table }},
		{"all tables deleted", func(t *testing.T) { a.nft(t, "flush", "ruleset") },
			func() bool { return a.table(t) == table }},
		{"address removed", func(t *testing.T) { a.ip(t, "address", "del", "100.64.0.1/32", "dev", "rw0") },
			func() bool { return strings.Contains(a.ip(t, "-4", "address", "show", "dev", "rw0"), "100.64.0.1/32") }},
		{"device down", func(t *testing.T) { a.ip(t, "link", "set", "rw0", "down") },
			func() bool {
				return strings.Contains(a.ip(t, "link", "show", "rw0"), ",UP") && a.hasRoute(t, "10.2.0.0/24")
			}},
		{"device's MTU changed", func(t *testing.T) { a.ip(t, "link", "set", "rw0", "mtu", "1300") },
			func() bool { return strings.Contains(a.ip(t, "link", "show", "rw0"), "mtu 1440") }},
		{"device deleted", func(t *testing.T) { a.ip(t, "link", "del", "rw0") },
			func() bool { return a.hasRoute(t, "10.2.0.0/24") && a.hasPeer(t, b) }},
		{"device's process killed", func(t *testing.T) {
			pid := a.deviceProcess()
			if pid == 0 {
				t.Skip("the device is the kernel's")
			}
			must(t, unix.Kill(pid, unix.SIGKILL))
		}, func() bool { return a.hasRoute(t, "10.2.0.0/24") && a.hasPeer(t, b) }},
		{"forwarding switched off", func(t *testing.T) { a.sysctl(t, "net/ipv4/ip_forward", "0") },
			func() bool { return a.sysctl(t, "net/ipv4/ip_forward", "") == "1" }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := repairs(a.status())
			c.spoil(t)
			took := eventually(t, 2*time.Second, "it is repaired", c.is)
			t.Logf("repaired within %v", took)
			a.t = t
			defer func() { a.t = w.t }()
			a.waitStatus("healthy with a repair counted", func(st *agent.Status) bool { return st.Healthy && repairs(st) > before })
			eventually(t, 2*time.Second, "the hosts reach each other again", func() bool { return a.reaches(b) })
		})
	}
}

func repairs(st *agent.Status) (n int) {
	if st == nil {
		return 0
	}
	for _, r := range st.Repairs {
		n += r
	}
	return n
}

// TestRestartLosesNothing: an agent that is stopped or killed, and one that takes over, drop no packet.
func TestRestartLosesNothing(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.gateways[0], w.gateways[1]
	b.echo()
	w.start()
	s := a.stream(b)
	device := a.deviceProcess()
	time.Sleep(200 * time.Millisecond)
	for _, end := range []func(*process){(*process).stop, (*process).kill, (*process).stop, (*process).kill} {
		end(a.agent)
		end(b.agent)
		time.Sleep(300 * time.Millisecond) // nobody is there
		a.start()
		b.start()
		a.waitHealthy()
		b.waitHealthy()
	}
	sent, lost := s.end(t)
	t.Logf("%d packets there and back, %d lost, over eight restarts", sent, lost)
	if lost > 0 || sent < 200 {
		t.Errorf("%d of %d packets were lost", lost, sent)
	}
	if now := a.deviceProcess(); now != device {
		t.Errorf("the device's process was %d and is %d: it was not adopted", device, now)
	}
	if st := a.status(); repairs(st) != 0 || st.LastApply.Changes != 0 {
		t.Errorf("the agent that took over changed something: %+v, repairs %v", st.LastApply, st.Repairs)
	}
}

// TestADeadDeviceIsBack: where the process of a device dies, packets flow again within 2 s in both directions, also where neither
// side keeps the session open and so only the side that lost it knows.
func TestADeadDeviceIsBack(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.gateways[0], w.gateways[1]
	a.echo()
	b.echo()
	for i, g := range w.gateways {
		p := w.plan(i+1, 2-i)
		p.Devices[0].Peers[0].Keepalive = 0
		g.write(p)
		g.start()
	}
	a.waitHealthy()
	b.waitHealthy()
	pid := a.deviceProcess()
	if pid == 0 {
		t.Skip("the device is the kernel's")
	}
	there, back := a.stream(b), b.stream(a)
	time.Sleep(300 * time.Millisecond)
	must(t, unix.Kill(pid, unix.SIGKILL))
	time.Sleep(3 * time.Second)
	there.end(t)
	back.end(t)
	t.Logf("longest silence %v from the side that lost its device, %v from the other", there.gap, back.gap)
	if there.gap > 2*time.Second || back.gap > 2*time.Second {
		t.Error("longer than 2 s")
	}
}

// TestARebootReachesWhoIsBehindNAT: a gateway loses its power and boots, and its peer behind NAT, whose session looks alive to it, is back within 2 s. Only the peer could
// dial, if its address were not remembered, and would 15 s later. The mapping of the NAT is still there, and lets pass what comes from that port of that gateway alone.
func TestARebootReachesWhoIsBehindNAT(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.gateways[0], w.gateways[1]
	a.echo()
	b.echo()
	b.nft(t, `add table ip nat {
		chain out { type nat hook postrouting priority srcnat; oifname wan0 udp sport 51820 snat to 192.0.2.2:4500; }
	}`)
	hub := w.plan(1, 2)
	hub.Devices[0].Peers[0].Endpoint, hub.Devices[0].Peers[0].Keepalive = fabric.Endpoint{}, 0
	a.write(hub)
	b.write(w.plan(2, 1))
	a.start()
	b.start()
	eventually(t, 20*time.Second, "the hosts reach each other", func() bool { return a.reaches(b) })
	mapped := netip.MustParseAddrPort("192.0.2.2:4500")
	eventually(t, 20*time.Second, "the gateway keeps where its peer is", func() bool {
		kept, _ := os.ReadFile(a.path("state/endpoints.json"))
		return strings.Contains(string(kept), mapped.String())
	})

	a.agent.kill()
	pid := a.deviceProcess()
	if pid == 0 {
		a.ip(t, "link", "delete", "rw0")
	} else {
		must(t, unix.Kill(pid, unix.SIGKILL))
		eventually(t, 5*time.Second, "the device is gone", func() bool { return len(a.deviceProcesses()) == 0 })
	}
	a.start()
	took := eventually(t, 20*time.Second, "the hosts reach each other again", func() bool { return b.reaches(a) })
	t.Logf("back %v after the agent was started", took)
	if took > 2*time.Second {
		t.Error("longer than 2 s")
	}
	a.waitHealthy()
	if peer := a.status().Devices[0].Peers[0]; peer.Endpoint != mapped {
		t.Errorf("the peer is at %v, want %v", peer.Endpoint, mapped)
	}
}

// TestNothingLeaksWhileADeviceIsDead: with the agent and the device both killed, a packet for another place does not leave in clear
// by the default route.
func TestNothingLeaksWhileADeviceIsDead(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.gateways[0], w.gateways[1]
	b.echo()
	w.start()
	eventually(t, 20*time.Second, "the hosts reach each other", func() bool { return a.reaches(b) })
	a.ip(t, "route", "add", "default", "via", "192.0.2.2")
	a.nft(t, `add table ip watch
add chain ip watch out { type filter hook postrouting priority 300; }
add rule ip watch out oifname "wan0" ip daddr 10.2.0.0/24 counter`)
	pid := a.deviceProcess()
	if pid == 0 {
		t.Skip("the device is the kernel's")
	}
	a.agent.kill()
	must(t, unix.Kill(pid, unix.SIGKILL))
	eventually(t, 2*time.Second, "the route is gone with the device", func() bool { return !a.hasRoute(t, "10.2.0.0/24") })
	leaked := func() bool {
		for range 5 {
			a.reaches(b)
		}
		return !strings.Contains(a.nft(t, "list", "table", "ip", "watch"), "packets 0 ")
	}
	if leaked() {
		t.Error("packets left in clear")
	}
	a.nft(t, "delete", "table", "inet", "ropeway")
	if !leaked() {
		t.Error("without the table nothing left either: this test would not notice")
	}
}

// TestAChangeLeavesOthersAlone: sessions through peers that a new plan does not touch lose nothing.
func TestAChangeLeavesOthersAlone(t *testing.T) {
	w := newWorld(t, 3)
	a, b, c := w.gateways[0], w.gateways[1], w.gateways[2]
	b.echo()
	c.echo()
	w.start()
	eventually(t, 20*time.Second, "gw1 reaches gw3", func() bool { return a.reaches(c) })
	s := a.stream(b)
	for range 3 {
		without := a.write(w.plan(1, 2))
		a.waitStatus("without gw3", func(st *agent.Status) bool { return st.Plan.Applied == without && st.Healthy })
		if a.hasRoute(t, "10.3.0.0/24") || a.hasPeer(t, c) || a.reaches(c) {
			t.Error("something of gw3 is still there")
		}
		changed := w.plan(1, 2, 3)
		changed.Devices[0].Peers[1].Keepalive = 7
		with := a.write(changed)
		a.waitStatus("with gw3 again", func(st *agent.Status) bool { return st.Plan.Applied == with && st.Healthy })
		eventually(t, 20*time.Second, "gw1 reaches gw3 again", func() bool { return a.reaches(c) })
	}
	sent, lost := s.end(t)
	t.Logf("%d packets there and back, %d lost, over six plans", sent, lost)
	if lost > 0 || sent < 150 {
		t.Errorf("%d of %d packets were lost", lost, sent)
	}
}

// TestTwoAgentsAtOnce: the second is refused and disturbs nothing.
func TestTwoAgentsAtOnce(t *testing.T) {
	w := newWorld(t, 2)
	a := w.gateways[0]
	w.start()
	_, errs, err := a.run(a.runArgs("--listen", "")...)
	if err == nil || !strings.Contains(errs, "RW4001") {
		t.Errorf("a second agent: %v, %q, want RW4001", err, errs)
	}
	if err := a.down(); err == nil || !strings.Contains(err.Error(), "RW4001") {
		t.Errorf("down while an agent runs: %v, want RW4001", err)
	}
	if st := a.waitHealthy(); repairs(st) != 0 {
		t.Errorf("the first was disturbed: %v", st.Repairs)
	}
}

// TestDown: everything of Ropeway's goes, and nothing else, also without a plan and after a crash.
func TestDown(t *testing.T) {
	w := newWorld(t, 2)
	a := w.gateways[0]
	nstest.In(t, a.ns, func() {
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "mine0"}, PeerName: "mine1"}))
		nstest.Up(t, "mine0")
		nstest.Up(t, "mine1")
	})
	a.ip(t, "route", "add", "10.77.0.0/24", "dev", "mine0")
	a.ip(t, "route", "add", "10.78.0.0/24", "dev", "mine0", "proto", "static")
	a.nft(t, "add", "table", "inet", "mine")
	a.sysctl(t, "net/ipv4/ip_forward", "0")
	before := a.picture(t)

	w.start()
	if a.picture(t) == before {
		t.Fatal("the agent changed nothing")
	}
	a.agent.kill()
	must(t, os.Remove(a.path("plan.json")))
	for range 2 { // a second time there is nothing to do
		must(t, a.down())
		if after := a.picture(t); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
	}
	eventually(t, 2*time.Second, "no process is left", func() bool { return len(a.processes()) == 0 })
	if _, err := os.Stat(a.path("state/keys/rw0.key")); err != nil {
		t.Errorf("the key is gone: %v", err)
	}
	// And up again, from the last good plan.
	a.start()
	a.waitHealthy()
}

// picture is everything about a machine that the agent could change.
func (g *gateway) picture(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, args := range [][]string{{"-br", "link"}, {"-br", "address"}, {"route", "show", "table", "all"}, {"-6", "route", "show", "table", "all"}, {"nexthop"}, {"rule"}} {
		fmt.Fprintf(&b, "# ip %v\n", args)
		for line := range strings.Lines(g.ip(t, args...)) {
			if !strings.Contains(line, "fe80::") { // link-local addresses come when duplicate address detection is done
				b.WriteString(line)
			}
		}
	}
	fmt.Fprintf(&b, "# nft\n%s# ip_forward %s\n", g.nft(t, "list", "ruleset"), g.sysctl(t, "net/ipv4/ip_forward", ""))
	return b.String()
}

// TestDryRun: it says what would be done, and nothing is.
func TestDryRun(t *testing.T) {
	w := newWorld(t, 2)
	a := w.gateways[0]
	a.write(w.plan(1, 2))
	before := a.picture(t)
	entries := a.files(t)
	out, errs, err := a.run(a.runArgs("--dry-run")...)
	if err != nil {
		t.Fatalf("%v: %s", err, errs)
	}
	for _, want := range []string{"firewall:", "devices: rw0: create device", "add peer gw2", "routes:", "10.2.0.0/24", "net/ipv4/ip_forward"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	if after := a.picture(t); after != before || a.files(t) != entries {
		t.Errorf("something changed:\n%s\n%s\n%s\n%s", before, after, entries, a.files(t))
	}
	// Where there is no key yet, none is made either.
	must(t, os.RemoveAll(a.path("state")))
	pending := w.plan(1, 2)
	pending.Devices[0].PublicKey = key.Public{}
	a.write(pending)
	if out, errs, err := a.run(a.runArgs("--dry-run")...); err != nil || !strings.Contains(out, "keys: make a private key in "+a.path("state/keys/rw0.key")) {
		t.Errorf("without a key: %v, %s%s", err, out, errs)
	}
	if _, err := os.Stat(a.path("state")); err == nil {
		t.Error("a dry run made the state directory")
	}
	// Beside an agent that has done it all there is nothing to do.
	a.start()
	a.waitHealthy()
	out, errs, err = a.run(a.runArgs("--dry-run")...)
	if err != nil || !strings.Contains(out, "\n0 changes") {
		t.Errorf("beside the agent: %v, %s%s", err, out, errs)
	}
	if st := a.status(); repairs(st) != 0 {
		t.Errorf("the agent was disturbed: %v", st.Repairs)
	}
}

// TestAPendingPeerIsLeftOut, and comes as soon as its key is known.
func TestAPendingPeerIsLeftOut(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.gateways[0], w.gateways[1]
	b.echo()
	p := w.plan(1, 2)
	known := p.Devices[0].Peers[0].PublicKey
	p.Devices[0].Peers[0].PublicKey, p.Devices[0].PublicKey = key.Public{}, key.Public{}
	a.write(p)
	a.start()
	b.write(w.plan(2, 1))
	b.start()
	st := a.waitHealthy()
	if got := st.Devices[0].Peers[0].State; got != agent.Pending {
		t.Errorf("the peer is %s, want pending", got)
	}
	p = w.plan(1, 2)
	p.Devices[0].Peers[0].PublicKey = known
	a.write(p)
	eventually(t, 20*time.Second, "the hosts reach each other", func() bool { return a.reaches(b) })
}

// TestStrangersGetNoStatus: the socket has mode 0600, and where somebody opens it all the same, the kernel's word counts.
func TestStrangersGetNoStatus(t *testing.T) {
	w := newWorld(t, 2)
	a := w.gateways[0]
	w.start()
	info, err := os.Stat(a.path("run/agent.sock"))
	must(t, err)
	if info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the socket has mode %v", info.Mode())
	}
	must(t, os.Chmod(a.path("run"), 0o755))
	must(t, os.Chmod(a.path("run/agent.sock"), 0o666))
	a.under = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}
	out, errs, err := a.run("status", "--run", a.path("run"), "-o", "json")
	if err == nil || out != "" || !strings.Contains(errs, "RW4013") {
		t.Errorf("a stranger got %q, %q, %v", out, errs, err)
	}
	a.under = nil
	if out, errs, err := a.run("status", "--run", a.path("run"), "-o", "json"); err != nil || !strings.Contains(out, `"gw1"`) {
		t.Errorf("root got %q, %q, %v", out, errs, err)
	}
	if !strings.Contains(a.agent.log.String(), "refused") {
		t.Error("the log does not tell of the stranger")
	}
}

// TestTheServiceManagerIsTold when the agent has looked at the machine for the first time, and again and again that it lives.
func TestTheServiceManagerIsTold(t *testing.T) {
	w := newWorld(t, 2)
	a := w.gateways[0]
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "unixgram", a.path("notify"))
	must(t, err)
	defer func() { _ = conn.Close() }()
	a.write(w.plan(1, 2))
	a.env = []string{"NOTIFY_SOCKET=" + a.path("notify")}
	p := a.start()
	heard := func() string {
		buf := make([]byte, 100)
		must(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		n, _, err := conn.ReadFrom(buf)
		must(t, err)
		return string(buf[:n])
	}
	for range 2 {
		if got := heard(); got != "READY=1\nWATCHDOG=1" {
			t.Errorf("the service manager was told %q", got)
		}
		if st := a.status(); st == nil || !st.Healthy {
			t.Error("told before it was so")
		}
	}
	go p.stop()
	for heard() != "STOPPING=1" {
		continue
	}
	<-p.done
}

// TestTheCommandLine says what is wrong with it under a code, and does nothing.
func TestTheCommandLine(t *testing.T) {
	w := newWorld(t, 1)
	a := w.gateways[0]
	for _, c := range []struct {
		code string
		args []string
	}{
		{"RW6001", []string{"run"}},
		{"RW6001", []string{"run", "--plan", "x", "--bogus"}},
		{"RW6001", []string{"status", "extra"}},
		{"RW6001", []string{"status", "-o", "xml"}},
		{"RW6001", []string{"nonsense"}},
		{"RW6001", a.runArgs("--log-format", "xml")},
		{"RW4012", a.runArgs("--listen", "0.0.0.0:9586")},
		{"RW4012", a.runArgs("--listen", "\u202e")},
		{"RW4013", []string{"status", "--run", a.path("run")}},
		{"RW6000", []string{"key", "--state", a.path("state"), "--device", "../x"}},
	} {
		out, errs, err := a.run(c.args...)
		if err == nil || !strings.Contains(errs, c.code+" ") || strings.Count(errs, "\n") != 1 || strings.Contains(errs, "\u202e") {
			t.Errorf("%v: %v, %q %q, want %s", c.args, err, out, errs, c.code)
		}
	}
	if out, _, err := a.run("version"); err != nil || !strings.HasPrefix(out, "ropeway-gateway ") {
		t.Errorf("version: %q %v", out, err)
	}
}

// What spoils a device, as wg(8) would.
func remove(g *gateway) wgtypes.PeerConfig {
	return wgtypes.PeerConfig{PublicKey: wgtypes.Key(g.key.Bytes()), Remove: true}
}

func clearPrefixes(g *gateway) wgtypes.PeerConfig {
	return wgtypes.PeerConfig{PublicKey: wgtypes.Key(g.key.Bytes()), UpdateOnly: true, ReplaceAllowedIPs: true}
}

func stranger(t *testing.T) wgtypes.PeerConfig {
	t.Helper()
	k, err := wgtypes.GeneratePrivateKey()
	must(t, err)
	return wgtypes.PeerConfig{PublicKey: k.PublicKey()}
}
