package bgptest

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/bgp"
	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// pair makes two gateways of two places that are joined.
func (w *world) pair() (a, b *gateway) {
	w.Helper()
	a, b = w.gateway("a", 65001, "10.1.0.0/16", "fd00:1::/32"), w.gateway("b", 65002, "10.2.0.0/16", "fd00:2::/32")
	w.join(a, b)
	return a, b
}

// sessions: two gateways meet in both families, tell the truth of it, and reach each other from their tunnel addresses.
func sessions(w *world) {
	a, b := w.pair()
	for _, g := range []*gateway{a, b} {
		if state := g.observe(); state.Running {
			w.Errorf("%s runs before anything was applied", g.name)
		}
		for _, other := range []string{"a", "b"} {
			g.with(other, func(n *plan.Neighbor) { n.BFD = &plan.BFD{Interval: 300, Multiplier: 3} })
		}
	}
	b.want.Tags = []uint32{7, 9}
	a.in(func() {
		changes, err := a.daemon.Plan(w.Context(), &a.want)
		if err != nil || len(changes) == 0 || len(a.processes()) > 0 {
			w.Errorf("Plan before anything runs: changes %q, error %v, processes %v", changes, err, a.processes())
		}
	})
	began := time.Now()
	if changes := w.apply(b, a); len(changes) == 0 {
		w.Error("a first Apply changed nothing")
	}
	w.established(a, b)
	a.sends("10.2.0.0/16", "b")
	a.sends("fd00:2::/32", "b")
	b.sends("10.1.0.0/16", "a")
	b.sends("fd00:1::/32", "a")
	w.Logf("two daemons started, met and routed within %d ms", time.Since(began).Milliseconds())
	a.sends("10.1.0.0/16", "") // what is its own is not the daemon's to route

	w.until(func() string { return a.tells(time.Since(began) + time.Second) }) // a daemon may count whole seconds
	got, _ := a.route("10.2.0.0/16", "b")
	want := bgp.Route{
		Prefix: netip.MustParsePrefix("10.2.0.0/16"), Neighbor: "b", NextHop: a.want.Neighbors[0].Address, Device: "to-b",
		Path: []uint32{65002}, LocalPreference: 100, Tags: []uint32{7, 9}, Best: true,
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(x, y netip.Addr) bool { return x == y }), cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })); diff != "" {
		w.Errorf("what a knows of b's prefix (-want +got):\n%s", diff)
	}
	if own, ok := a.route("10.1.0.0/16", ""); !ok || !own.Best {
		w.Errorf("what a knows of its own prefix: %+v", own)
	}
}

// tells says what is wrong with what a gateway tells of its two sessions.
func (g *gateway) tells(longest time.Duration) string {
	state := g.observe()
	if !strings.Contains(state.Version, " ") || len(state.Neighbors) != 2 {
		return fmt.Sprintf("%s says that it is %q with neighbours %+v", g.name, state.Version, state.Neighbors)
	}
	for i, n := range state.Neighbors {
		if want := g.want.Neighbors[i]; n.Name != want.Name || n.Address != want.Address || n.ASN != want.ASN {
			return fmt.Sprintf("%s: neighbour %+v, want %+v", g.name, n, want)
		}
		if n.State != "Established" || !n.Up || n.BFD != "up" || n.Received != 1 || n.Sent != 1 || n.Since < 0 || n.Since > longest {
			return fmt.Sprintf("%s: neighbour %+v, want it Established and up with BFD, 1 prefix each way, and since %s at most", g.name, n, longest)
		}
	}
	return ""
}

// untouched: who applies the same again changes nothing, and who changes one neighbour leaves the session with another alone.
func untouched(w *world) {
	a, b := w.pair()
	c := w.gateway("c", 65003, "10.3.0.0/16")
	w.join(a, c)
	w.apply(a, b, c)
	w.established(a, b, c)
	if changes := w.apply(a); len(changes) > 0 {
		w.Errorf("a second Apply changed %q", changes)
	}
	a.in(func() {
		if changes, err := a.daemon.Plan(w.Context(), &a.want); err != nil || len(changes) > 0 {
			w.Errorf("Plan after Apply: %q, %v", changes, err)
		}
	})
	looked, before := time.Now(), a.observe()
	time.Sleep(1200 * time.Millisecond) // a daemon may count whole seconds
	a.with("c", func(n *plan.Neighbor) {
		n.BFD, n.Tags, n.MaxPrefixes = &plan.BFD{Interval: 400, Multiplier: 4}, []uint32{3}, 50
		n.Accept = prefixes("10.3.0.0/17")
	})
	c.with("a", func(n *plan.Neighbor) { n.BFD = &plan.BFD{Interval: 400, Multiplier: 4} })
	a.want.Own = prefixes("10.1.0.0/17", "fd00:1::/32")
	if changes := w.apply(c, a); len(changes) == 0 {
		w.Error("Apply of a changed neighbour says that it changed nothing")
	}
	c.sends("10.1.0.0/17", "a")
	c.sends("10.1.0.0/16", "")
	b.sends("10.1.0.0/17", "a")
	a.sends("10.3.0.0/16", "") // it is not accepted any more
	w.established(a, b, c)
	a.lasted(before.Neighbors[:2], looked) // those with b
	w.refusesBad(a)
}

// lasted holds whether sessions that were looked at then have been up ever since.
func (g *gateway) lasted(before []bgp.Neighbor, looked time.Time) {
	g.w.Helper()
	for _, n := range g.observe().Neighbors {
		at := slices.IndexFunc(before, func(b bgp.Neighbor) bool { return b.Address == n.Address })
		if at < 0 {
			continue
		}
		// Up for as long as before and what has passed since: it was never down in between.
		if least := before[at].Since + time.Since(looked) - 2100*time.Millisecond; n.Since < least || n.Flaps != before[at].Flaps {
			g.w.Errorf("the session with %s at %s has been up for %s, want %s at least: it was not to be touched", n.Name, n.Address, n.Since, least)
		}
	}
}

// refusesBad: a configuration that cannot be is refused, and what ran runs on.
func (w *world) refusesBad(a *gateway) {
	bad := a.want
	broken := *a.want.BGP
	broken.Neighbors = slices.Clone(broken.Neighbors)
	n := *broken.Neighbors[0]
	n.Password = "nowhere" // and no such password is given
	broken.Neighbors[0], bad.BGP = &n, &broken
	a.in(func() {
		if _, err := a.daemon.Apply(w.Context(), &bad); err == nil {
			w.Error("Apply took a neighbour whose password nobody gave it")
		}
		if changes, err := a.daemon.Plan(w.Context(), &a.want); err != nil || len(changes) > 0 {
			w.Errorf("after a configuration was refused there is something to change: %q, %v", changes, err)
		}
	})
	w.established(a)
}

// password: sessions with a TCP MD5 password come up where both ends have it, and do not where one has another; no change, state or file shows it to others.
func password(w *world) {
	a, b := w.pair()
	const secret = `Sw0rd'fish;\#1` //nolint:gosec // it is nobody's
	for _, g := range []*gateway{a, b} {
		g.want.Passwords = map[string]string{"site": secret}
		for _, other := range []string{"a", "b"} {
			g.with(other, func(n *plan.Neighbor) { n.Password = "site" })
		}
	}
	changes := w.apply(b, a)
	w.established(a, b)
	if said := fmt.Sprint(changes, a.observe()); strings.Contains(said, "Sw0rd") {
		w.Errorf("a password is shown in %s", said)
	}
	w.readable(a.dir, "Sw0rd")
	b.want.Passwords = map[string]string{"site": "another"}
	w.apply(b)
	w.until(func() string {
		for _, n := range b.observe().Neighbors {
			if n.Up {
				return fmt.Sprintf("the session with %s is up, and the ends have different passwords", n.Address)
			}
		}
		return ""
	})
	time.Sleep(2 * bgp.Connect * time.Second) // for a try that must not succeed
	for _, n := range b.observe().Neighbors {
		if n.Up {
			w.Errorf("the session with %s came up, and the ends have different passwords", n.Address)
		}
	}
}

// readable finds files that others can read and that hold a secret.
func (w *world) readable(dir, secret string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		w.Fatal(err)
	}
	for _, e := range entries {
		path := dir + "/" + e.Name()
		info, err := e.Info()
		if err != nil {
			w.Fatal(err)
		}
		if e.IsDir() {
			w.readable(path, secret)
		}
		if !info.Mode().IsRegular() || info.Mode().Perm()&0o007 == 0 {
			continue
		}
		if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), secret) {
			w.Errorf("%s has mode %s and holds a password (or cannot be read: %v)", path, info.Mode(), err)
		}
	}
}

// crash: a daemon that is killed leaves routes where they are, and the next Apply brings it back.
func crash(w *world) {
	a, b := w.pair()
	w.apply(a, b)
	w.established(a, b)
	a.sends("10.2.0.0/16", "b")
	a.sends("fd00:2::/32", "b")
	a.kill()
	if state := a.observe(); state.Running {
		w.Error("a killed daemon is said to run")
	}
	if way := a.way(netip.MustParsePrefix("10.2.0.0/16")); way != "b" {
		w.Errorf("with its daemon killed, a sends by %q", way)
	}
	began := time.Now()
	if changes := w.apply(a); len(changes) == 0 {
		w.Error("Apply started a killed daemon and says that it changed nothing")
	}
	var gone time.Duration // that there was no route
	for time.Since(began) < 3*time.Second {
		looked := time.Now()
		way := a.way(netip.MustParsePrefix("10.2.0.0/16"))
		time.Sleep(10 * time.Millisecond)
		if way != "b" {
			gone += time.Since(looked)
		}
	}
	w.Logf("after a crash and a new start there was no route for %d ms", gone.Milliseconds())
	if gone > time.Second { // less than it takes to learn them again
		w.Error("a new daemon took the routes away that the crashed one had left, before it knew better")
	}
	w.established(a, b)
	a.sends("10.2.0.0/16", "b")
	a.sends("fd00:2::/32", "b")
	b.sends("10.1.0.0/16", "a")
	if changes := w.apply(a); len(changes) > 0 {
		w.Errorf("Apply after that changed %q", changes)
	}

	// Another agent, which has started nothing, finds the daemon that runs and leaves it as it is.
	was := a.processes()
	a.daemon = w.open(a.dir)
	if changes := w.apply(a); len(changes) > 0 || !slices.Equal(was, a.processes()) {
		w.Errorf("a new agent changed %q, and processes %v to %v", changes, was, a.processes())
	}
	w.established(a)
}

// loss: a cable that swallows everything, and whose ends see no loss of carrier, is noticed by BFD.
func loss(w *world) {
	needs(w.T, "nft")
	a, b := w.pair()
	for _, g := range []*gateway{a, b} {
		for _, other := range []string{"a", "b"} {
			g.with(other, func(n *plan.Neighbor) { n.BFD = &plan.BFD{Interval: 200, Multiplier: 3} })
		}
	}
	w.apply(a, b)
	w.established(a, b)
	w.until(func() string { return a.tells(time.Hour) })
	a.sends("10.2.0.0/16", "b")
	a.sends("fd00:2::/32", "b")
	b.run("nft", "add table inet cut; add chain inet cut in { type filter hook input priority 0; policy drop; }; add chain inet cut out { type filter hook output priority 0; policy drop; }")
	began := time.Now()
	a.sends("10.2.0.0/16", "")
	a.sends("fd00:2::/32", "")
	took := time.Since(began)
	w.Logf("loss noticed after %d ms, with BFD every 200 ms and 3 missed", took.Milliseconds())
	if took > bgp.Hold*time.Second/2 {
		w.Errorf("that is %s: BFD did not do it", took)
	}
	b.run("nft", "delete table inet cut")
	w.established(a, b)
	a.sends("10.2.0.0/16", "b")
}

// stop: a daemon that is stopped says goodbye and leaves nothing, and can be started again.
func stop(w *world) {
	a, b := w.pair()
	w.apply(a, b)
	w.established(a, b)
	a.sends("10.2.0.0/16", "b")
	b.sends("10.1.0.0/16", "a")
	for range 2 { // the second time none runs
		a.in(func() {
			if err := a.daemon.Stop(w.Context()); err != nil {
				w.Error(err)
			}
			if left := a.kernelRoutes(); len(left) > 0 {
				w.Errorf("Stop left the routes %s", left)
			}
		})
		if left := a.processes(); len(left) > 0 {
			w.Errorf("Stop left the processes %v", left)
		}
		if left, err := os.ReadDir(a.dir); len(left) > 0 {
			w.Errorf("Stop left the files %v (%v)", left, err)
		}
		if a.observe().Running {
			w.Error("a daemon runs after Stop")
		}
	}
	if took := b.sends("10.1.0.0/16", ""); took > 2*time.Second {
		w.Errorf("the neighbour noticed after %s: nobody told it", took)
	}
	w.apply(a)
	w.established(a, b)
	b.sends("10.1.0.0/16", "a")
}

// run runs a program in a gateway's namespace; its arguments are split at nothing.
func (g *gateway) run(program string, args ...string) {
	g.w.Helper()
	nstest.In(g.w.T, g.ns, func() { command(g.w, program, args...) })
}
