package failover

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ropeway/bench"
	"ropeway/internal/agent"
	"ropeway/internal/bgp"
	"ropeway/internal/lab"
)

// BenchmarkPlannedWork counts the packets that planned work on a gateway costs, of 1,000 a second each way between hosts that talk across it: that it is drained and taken
// back; that its agent is stopped, replaced by another version and started; that a change of the fabric reaches its routing daemon. The bar is none.
//
// The packets are pings, which access lets one side send alone: an answer that crosses the place's other gateway before a question did is one that nobody there asked for.
// Answers are counted apart.
func BenchmarkPlannedWork(b *testing.B) {
	const rounds = 3
	next := nextVersion(b)
	for _, daemon := range []string{"frr", "bird"} {
		b.Run(daemon, func(b *testing.B) {
			installed := filepath.Join(b.TempDir(), "ropeway-gateway")
			install(b, filepath.Join(programs, "ropeway-gateway"), installed)
			oneWay := []string{"daemon: frr", "daemon: " + daemon, "    - {from: region/west, to: region/east}\n", ""}
			text := pair(b, oneWay...)
			f := up(b, "planned-"+daemon, text, func(opts *lab.Options) { opts.Agent = installed })
			for b.Loop() {
				lost, unanswered := map[string]int{}, map[string]int{}
				for round := range rounds {
					gateway := []string{"east-a", "west-a"}[round%2]
					f.watched("drain", lost, unanswered, func() { f.drain(gateway) })
					f.watched("upgrade", lost, unanswered, func() { f.upgrade(gateway, next, installed) })
					changed := pair(b, append(oneWay, "[10.10.0.0/16]", []string{"[10.10.0.0/16, 10.11.0.0/16]", "[10.10.0.0/16]"}[round%2])...)
					f.watched("reload", lost, unanswered, func() { f.reload(changed) })
				}
				b.ReportMetric(0, "ns/op")
				for what, n := range lost {
					b.ReportMetric(float64(n), what+"-lost")
					b.ReportMetric(float64(unanswered[what]), what+"-unanswered")
					if n > 0 || unanswered[what] > 0 {
						bench.Miss(b, "%s: %d packets were lost and %d not answered in %d rounds, want none", what, n, unanswered[what], rounds)
					}
				}
			}
		})
	}
}

// drain drains a gateway, waits until it is quiet, and takes that back.
func (f *rig) drain(gateway string) {
	f.b.Helper()
	f.on(gateway, "ropeway-gateway", "drain")
	f.on(gateway, "ropeway-gateway", "undrain")
	time.Sleep(3 * time.Second) // until all go by it again
}

// watched does some work while hosts send each other 1,000 pings a second, and counts those that did not arrive, and those that did and got no answer.
func (f *rig) watched(what string, lost, unanswered map[string]int, work func()) {
	f.b.Helper()
	const period, around = time.Millisecond, time.Second
	before := f.dropped()
	w, err := f.Watch(f.b.Context(), period)
	if err != nil {
		f.b.Fatal(err)
	}
	time.Sleep(around)
	work()
	time.Sleep(around)
	tallies, err := w.Close()
	if err != nil {
		f.b.Fatal(err)
	}
	for where, n := range f.dropped() {
		if n -= before[where]; n > 0 {
			f.b.Logf("%s: %s dropped %d packets", what, where, n)
		}
	}
	for _, t := range tallies {
		f.b.Logf("%s: %s → %s lost %d of %d, %.0f a second, and %d got no answer, none for %s at the longest", what, t.From, t.To, t.Lost, t.Sent, t.Rate(), t.Missed-t.Lost, t.Blackout)
		lost[what] += t.Lost
		unanswered[what] += t.Missed - t.Lost
	}
}

// nextVersion builds another version of the agent.
func nextVersion(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "ropeway-gateway")
	output(b, "", "go", "build", "-ldflags", "-X ropeway/internal/build.version=next", "-o", path, "ropeway/cmd/ropeway-gateway")
	return path
}

// install puts a program where another one may be running, as package managers do: under another name first.
func install(b *testing.B, from, to string) {
	b.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to+".new", text, 0o755) //nolint:gosec // a program
	}
	if err == nil {
		err = os.Rename(to+".new", to)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// upgrade stops the agent of a gateway, puts another program in its place, and starts that.
func (f *rig) upgrade(gateway, program, installed string) {
	f.b.Helper()
	pid := f.status(gateway).Agent.PID
	if err := unix.Kill(pid, unix.SIGTERM); err != nil {
		f.b.Fatal(err)
	}
	f.until("the agent of "+gateway+" has ended", func() bool { return bgp.Ended(pid) })
	install(f.b, program, installed)
	dead, err := f.Break(f.b.Context(), lab.Fault{Kind: lab.AgentKill, A: gateway}) // the lab hears that it is dead
	if err == nil {
		_, err = f.Mend(f.b.Context(), dead.ID)
	}
	if err != nil {
		f.b.Fatal(err)
	}
	if s := f.status(gateway); s.Agent.PID == pid || s.Agent.Version.Version != "next" {
		f.b.Fatalf("the agent of %s is %+v after its upgrade", gateway, s.Agent)
	}
}

// reload gives every gateway its plan of another fabric file and waits until it is in force. The sessions have to be those of before.
func (f *rig) reload(text string) {
	f.b.Helper()
	before := f.sessions()
	f.carryOut(text)
	for gateway, list := range f.sessions() {
		for i, n := range list {
			if was := before[gateway][i]; !n.Up || n.Flaps != was.Flaps || n.Since < was.Since {
				f.b.Errorf("the session of %s with %s is another: %+v, before %+v", gateway, n.Name, n, was)
			}
		}
	}
}

// status asks the agent of a gateway.
func (f *rig) status(gateway string) (s agent.Status) {
	f.b.Helper()
	if err := json.Unmarshal([]byte(f.on(gateway, "ropeway-gateway", "status", "-o", "json")), &s); err != nil {
		f.b.Fatal(err)
	}
	return s
}

// dropped returns how many packets each gateway's firewall and interfaces dropped, by what dropped them.
func (f *rig) dropped() map[string]uint64 {
	f.b.Helper()
	out := map[string]uint64{}
	for _, name := range f.gateways() {
		for why, n := range f.status(name).Firewall.Dropped {
			out["the firewall of "+name+" ("+why+")"] = n
		}
		links, err := f.kernel(name).handle.LinkList()
		if err != nil {
			f.b.Fatal(err)
		}
		for _, l := range links {
			if s := l.Attrs().Statistics; s != nil {
				out[l.Attrs().Name+" of "+name+" (received)"] = s.RxDropped
				out[l.Attrs().Name+" of "+name+" (sent)"] = s.TxDropped
			}
		}
	}
	return out
}

// sessions asks all gateways.
func (f *rig) sessions() map[string][]bgp.Neighbor {
	f.b.Helper()
	out := map[string][]bgp.Neighbor{}
	for _, a := range f.AskGateways(f.b.Context(), "neighbors", "-o", "json") {
		var list []bgp.Neighbor
		if a.Err == nil {
			a.Err = json.Unmarshal([]byte(a.Text), &list)
		}
		if a.Err != nil {
			f.b.Fatalf("neighbors of %s: %v", a.Gateway, a.Err)
		}
		out[a.Gateway] = list
	}
	return out
}

// awaitSessions waits until all sessions are up, and watched where they are to be.
func (f *rig) awaitSessions() {
	f.b.Helper()
	f.until("all sessions are up and watched", func() bool {
		for _, list := range f.sessions() {
			if slices.ContainsFunc(list, func(n bgp.Neighbor) bool { return !n.Up || n.BFD != "" && n.BFD != "up" }) {
				return false
			}
		}
		return true
	})
}

// until waits until something is so.
func (f *rig) until(what string, so func() bool) {
	f.b.Helper()
	ctx, cancel := context.WithTimeout(f.b.Context(), time.Minute)
	defer cancel()
	for !so() {
		select {
		case <-ctx.Done():
			f.b.Fatalf("not within a minute: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
