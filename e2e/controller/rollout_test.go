package controller_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A region is a place of the file that trio writes: its gateway of that number, its prefixes beside 10.N.0.0/24, and its gateway's endpoint.
type region struct {
	n        int
	prefixes string
	endpoint string
}

// trio writes a fabric of three places, and returns the file. What regions do not say is as it is in truth.
func (w *world) trio(access string, regions ...region) string {
	var b strings.Builder
	b.WriteString("apiVersion: ropeway/v1\nkind: Fabric\nmetadata: {name: shop}\nspec:\n  topology: {mode: mesh}\n  regions:\n")
	for n, place := range []string{"east", "west", "north"} {
		r := region{n: n + 1}
		for _, x := range regions {
			if x.n == n+1 {
				r = x
			}
		}
		if r.endpoint == "" {
			r.endpoint = fmt.Sprintf("192.0.2.%d", r.n)
		}
		fmt.Fprintf(&b, "    - {name: %s, prefixes: [10.%d.0.0/24%s], gateways: [{name: gw%d, endpoint: %s}]}\n", place, r.n, r.prefixes, r.n, r.endpoint)
	}
	fmt.Fprintf(&b, "  access: [%s]\n", access)
	file := w.path("shop.yaml")
	must(w.t, os.WriteFile(file, []byte(b.String()), 0o600))
	return file
}

const (
	anyPing = "{from: any, to: any, ports: [icmp]}"
	anyAll  = "{from: any, to: any}"
)

// newTrio is a world of three gateways that are enrolled, follow the first revision, and reach each other.
func newTrio(t *testing.T) *world {
	t.Helper()
	w := newWorldOf(t, 3)
	w.serve()
	w.do("login", server, "--token", w.firstToken())
	w.do("apply", w.trio(anyPing), "--auto-approve")
	w.everybodyEnrolls()
	w.everybodyWell()
	w.everybodyReaches()
	return w
}

// everybodyEnrolls makes all gateways members, and runs them.
func (w *world) everybodyEnrolls(more ...string) {
	w.t.Helper()
	for _, g := range w.gateways {
		if out, err := g.enroll(strings.TrimSpace(w.do("token", "create", "--gateway", g.name())), more...); err != nil {
			w.t.Fatalf("enroll: %v\n%s", err, out)
		}
		g.run("--confirm-within", "8s")
	}
}

// nobodyGreets waits until the last handshake is longer ago than WireGuard waits before it tries again, 5 s (whitepaper, section 6.1): gateways that
// came up a moment ago may greet each other once more, and who is greeted learns where the other one is, whatever its plan says.
func (w *world) nobodyGreets() {
	w.t.Helper()
	eventually(w.t, time.Minute, "nobody greets anybody", func() bool {
		for _, g := range w.gateways {
			for line := range strings.Lines(g.dump()) {
				fields := strings.Split(strings.TrimSpace(line), "\t")
				if len(fields) < 9 { // the device's own line
					continue
				}
				last, err := strconv.ParseInt(fields[5], 10, 64)
				must(w.t, err)
				if time.Since(time.Unix(last, 0)) < 7*time.Second {
					return false
				}
			}
		}
		return true
	})
}

// everybodyWell waits until all gateways are what they should be.
func (w *world) everybodyWell() {
	w.t.Helper()
	eventually(w.t, time.Minute, "all gateways are well", func() bool {
		for _, l := range w.lines() {
			if l.State != "well" {
				return false
			}
		}
		return true
	})
}

func (w *world) everybodyReaches() {
	w.t.Helper()
	for _, a := range w.gateways {
		for _, b := range w.gateways {
			if a != b {
				eventually(w.t, 30*time.Second, a.name()+" reaches "+b.name(), func() bool { return a.reaches(b) })
			}
		}
	}
}

// A rolled is what rollout status -o json prints.
type rolled struct {
	Revision, Base, Back uint64
	State, Why           string
	Wave                 uint32
	Waves                []struct {
		Size, Ready uint32
		Gateways    []string
	}
}

func (w *world) rollout() (r rolled) {
	w.t.Helper()
	must(w.t, json.Unmarshal([]byte(w.do("rollout", "status", "-o", "json")), &r))
	return r
}

// applied returns the revision that each gateway follows.
func (w *world) applied() map[string]uint64 {
	out := map[string]uint64{}
	for name, l := range w.lines() {
		out[name] = l.Applied
	}
	return out
}

// TestRollout: a change goes out in waves. It can be paused, resumed and aborted, and goes on where a controller was killed.
func TestRollout(t *testing.T) {
	w := newTrio(t)
	out := w.do("apply", w.trio(anyAll), "--auto-approve")
	if !strings.Contains(out, "wave 1 of 2: ") || !strings.Contains(out, "wave 2 of 2: ") || !strings.Contains(out, "is in force") {
		t.Errorf("it does not say how it went:\n%s", out)
	}
	w.everybodyWell()
	if r := w.rollout(); r.State != "done" || len(r.Waves) != 2 || r.Waves[0].Ready != 1 || r.Waves[1].Ready != 2 {
		t.Errorf("the rollout: %+v", r)
	}

	w.do("apply", w.trio(anyPing), "--auto-approve", "--no-wait", "--soak", "1h")
	canary := w.rollout().Waves[0].Gateways[0]
	eventually(t, 30*time.Second, "the canary is ready", func() bool { return w.rollout().Waves[0].Ready == 1 })
	if out, code := w.ropeway("admin", "apply", w.trio(anyAll), "--auto-approve"); code != 1 || !strings.Contains(out, "RW7301") {
		t.Errorf("a change during a rollout: exit %d\n%s", code, out)
	}
	w.do("rollout", "pause")
	if out, code := w.ropeway("admin", "rollout", "pause"); code != 1 || !strings.Contains(out, "RW7303") {
		t.Errorf("paused twice: exit %d\n%s", code, out)
	}
	w.controller.kill()
	w.serve()
	if r := w.rollout(); r.State != "paused" || r.Wave != 1 {
		t.Errorf("after a kill: %+v", r)
	}
	w.do("rollout", "resume", "--no-wait")
	w.do("rollout", "abort", "--reason", "a story")
	w.everybodyWell()
	r := w.rollout()
	if r.State != "aborted" || r.Back != r.Revision+1 || !strings.Contains(r.Why, "a story") {
		t.Errorf("after an abort: %+v", r)
	}
	if out, code := w.ropeway("admin", "rollout", "abort"); code != 1 || !strings.Contains(out, "RW7302") {
		t.Errorf("aborted twice: exit %d\n%s", code, out)
	}
	if now := w.applied(); now[canary] != r.Back {
		t.Errorf("the canary follows %d, and not %d", now[canary], r.Back)
	}

	w.do("apply", w.trio(anyPing), "--auto-approve", "--no-wait", "--soak", "2s")
	eventually(t, 30*time.Second, "the canary is ready", func() bool { return w.rollout().Waves[0].Ready == 1 })
	w.controller.kill()
	w.serve()
	eventually(t, 90*time.Second, "the rollout comes to its end", func() bool { return w.rollout().State == "done" })
	w.everybodyWell()
	w.everybodyReaches()
}

// TestTheCanaryDies: a plan that the proof accepts and that breaks a link in truth reaches the canary and nobody else, and is taken back.
func TestTheCanaryDies(t *testing.T) {
	w := newTrio(t)
	w.nobodyGreets()
	before := w.applied()
	out, code := w.ropeway("admin", "apply", w.trio(anyPing, region{n: 3, endpoint: "192.0.2.99"}), "--auto-approve")
	if code != 1 || !strings.Contains(out, "RW7304") || !strings.Contains(out, "no longer reaches gateway gw3") {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	r := w.rollout()
	canary := r.Waves[0].Gateways[0]
	if r.State != "failed" || r.Wave != 1 || r.Back != r.Revision+1 {
		t.Errorf("the rollout: %+v", r)
	}
	w.everybodyWell()
	for name, revision := range w.applied() {
		switch {
		case name == canary && revision != r.Back:
			t.Errorf("the canary %s follows %d, and not %d", name, revision, r.Back)
		case name != canary && revision != before[name]:
			t.Errorf("%s was touched: it follows %d, and followed %d", name, revision, before[name])
		}
	}
	w.everybodyReaches()
	if revisions := w.do("get", "revisions"); !strings.Contains(revisions, "rollback") {
		t.Errorf("nobody reads of it:\n%s", revisions)
	}
}

// TestCutOff: gateways whose plan leads the way to their controller into a tunnel go back by themselves, and the fabric with them.
func TestCutOff(t *testing.T) {
	w := newTrio(t)
	out, code := w.ropeway("admin", "apply", w.trio(anyPing, region{n: 2, prefixes: ", 192.0.2.96/28"}), "--auto-approve")
	if code != 1 || !strings.Contains(out, "RW7304") || !strings.Contains(out, "went back by itself") {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	if r := w.rollout(); r.State != "failed" || r.Wave != 2 {
		t.Errorf("the rollout: %+v", r)
	}
	w.everybodyWell()
	w.everybodyReaches()
	log, err := os.ReadFile(w.gateways[0].path("agent.log"))
	must(t, err)
	if !strings.Contains(string(log), "RW4020") {
		t.Errorf("the gateway does not say that it went back:\n%s", log)
	}
}

// TestKilledOnTheWay: wherever a gateway dies while it follows a plan, or goes back from one, the next start makes it what the controller or the trial
// says.
func TestKilledOnTheWay(t *testing.T) {
	w := newTrio(t)
	a := w.gateways[0]
	access := []string{anyAll, anyPing}
	for i, step := range []string{"trial", "grant", "plan"} {
		a.agent.kill()
		w.do("apply", w.trio(access[i%2]), "--auto-approve", "--at-once")
		a.diesAt(step)
		a.run("--confirm-within", "8s")
		w.everybodyWell()
	}
	for i, step := range []string{"back", "restored"} {
		a.agent.kill()
		before := w.applied()["gw1"]
		w.do("apply", w.trio(anyPing, region{n: 2, prefixes: ", 192.0.2.96/28"}), "--auto-approve", "--at-once")
		a.diesAt(step)
		a.run("--confirm-within", "8s")
		eventually(t, time.Minute, "gw1 has gone back, after dying at "+step, func() bool {
			l := w.lines()["gw1"]
			return l.Applied == before && strings.Contains(l.Message, "RW4020") && l.Connected
		})
		w.do("apply", w.trio(access[i%2]), "--auto-approve", "--at-once")
		w.everybodyWell()
	}
	w.everybodyReaches()
}

// diesAt starts an agent that kills itself at a step, and waits until it has.
func (g *gateway) diesAt(step string) {
	g.w.t.Helper()
	argv := append([]string{"env", "ROPEWAY_FAILPOINT=" + step}, g.command("run", "--listen", "", "--confirm-within", "5s")...)
	p := start(g.w.t, g.ns, g.path("agent.log"), argv...)
	select {
	case <-p.done:
		p.cmd = nil
	case <-time.After(time.Minute):
		g.w.t.Fatalf("the agent never came to step %s", step)
	}
}
