package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBGPWithControllers is what an operator does with a fabric that speaks BGP and never leaves his desk: he sees sessions and routes, leads traffic around a gateway
// whatever becomes of its agent and of a controller, has the routes that there are proven, and changes policy. There are three controllers, and each knows a part.
func TestBGPWithControllers(t *testing.T) {
	t.Parallel()
	name := labName("bgpctl")
	lab := "--lab=" + name
	up(t, "../examples/hybrid-bgp.yaml", name, "--controllers", "3")
	asPromised := func() {
		t.Helper()
		until(t, "every route is as promised", func() bool { return ropeway(t, "verify", "--live", lab).code == 0 })
	}
	t.Run("sessions and routes", func(t *testing.T) {
		until(t, "all sessions are up", func() bool { return len(down(t, lab)) == 0 })
		asPromised()
		if lines := routes(t, lab, "10.20.0.0/16"); len(lines) != 7 {
			t.Errorf("%d gateways have a route: %v", len(lines), lines)
		}
		if text := must(t, 0, "show", "route", "10.20.4.5", lab).out; !strings.Contains(text, "10.20.0.0/16 is announced by euw1-a; euw1-b") || strings.Count(text, "*") != 7 {
			t.Errorf("show route said\n%s", text)
		}
		if text := must(t, 0, "get", "routes", "192.168.0.0/16", "-o", "json", lab).out; !strings.Contains(text, `"65001:100"`) {
			t.Errorf("the mark of the headquarters is not on its prefix: %s", text)
		}
		if text := must(t, 0, "get", "neighbors", "hq-1", lab).out; strings.Count(text, "Established") != 6 || !strings.Contains(text, "hq-core") {
			t.Errorf("get neighbors said\n%s", text)
		}
	})
	t.Run("a drained gateway", func(t *testing.T) {
		if text := must(t, 0, "gateway", "drain", "use1-a", lab).out; !strings.HasPrefix(text, "drained and quiet after ") {
			t.Errorf("drain said %s", text)
		}
		until(t, "branch-1 goes by the other", func() bool { return routes(t, lab, "10.10.0.0/16")["branch-1"] == "use1-b" })
		must(t, 0, "lab", "fault", "--name", name, "agent-kill", "use1-a")
		must(t, 0, "lab", "fault", "--name", name, "undo", "all")
		until(t, "the next agent says that it is drained", func() bool { return strings.Contains(ropeway(t, "status", lab).out, "gateway use1-a: is drained") })
		until(t, "drift tells of it, whichever controller is asked", func() bool {
			r := ropeway(t, "drift", lab)
			return r.code == 2 && strings.Contains(r.out, "drained")
		})
		asPromised()
		if text := must(t, 0, "audit", "list", "--what", "gateway", lab).out; !strings.Contains(text, "gateway/use1-a") {
			t.Errorf("the audit log said\n%s", text)
		}
		must(t, 0, "lab", "fault", "--name", name, "controller-kill", "use1")
		until(t, "others take it back", func() bool { return ropeway(t, "gateway", "undrain", "use1-a", lab).code == 0 })
		until(t, "branch-1 goes by it again", func() bool { return routes(t, lab, "10.10.0.0/16")["branch-1"] == "use1-a" })
		must(t, 0, "lab", "fault", "--name", name, "undo", "all")
		if r := must(t, 1, "gateway", "drain", "use1-z", lab); !strings.Contains(r.errors, "RW7507") {
			t.Errorf("a gateway that there is not: %s", r.errors)
		}
	})
	t.Run("another policy", func(t *testing.T) {
		until(t, "hq-1 goes by the offices' link", func() bool { return routes(t, lab, "172.16.0.0/20")["hq-1"] == "branch-1" })
		must(t, 0, "apply", policy(t), "--auto-approve", lab)
		until(t, "the offices avoid their link", func() bool { way := routes(t, lab, "172.16.0.0/20")["hq-1"]; return way != "" && way != "branch-1" })
		asPromised()
		until(t, "all sessions are up", func() bool { return len(down(t, lab)) == 0 })
		tested(t, 0, name)
	})
	until(t, "the fabric is well", func() bool { return ropeway(t, "status", lab).code == 0 })
}

// until waits, for a minute at most.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(300 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it is still not so that %s", what)
		}
	}
}

// down returns the sessions that some gateway of a lab does not have up.
func down(t *testing.T, lab string) (out []string) {
	t.Helper()
	var lines []struct {
		Gateway, Name string
		Up            bool
	}
	if err := json.Unmarshal([]byte(must(t, 0, "get", "neighbors", "-o", "json", lab).out), &lines); err != nil {
		t.Fatal(err)
	}
	if len(lines) < 43 { // 36 ends of tunnels, and 7 of routers
		return []string{"of gateways that have not reported"}
	}
	for _, l := range lines {
		if !l.Up {
			out = append(out, l.Gateway+" with "+l.Name)
		}
	}
	return out
}

// routes returns by gateway whom it goes by to a prefix: "" for itself.
func routes(t *testing.T, lab, prefix string) map[string]string {
	t.Helper()
	var lines []struct {
		Gateway, Neighbor, Prefix string
		Best                      bool
	}
	if err := json.Unmarshal([]byte(must(t, 0, "get", "routes", prefix, "-o", "json", lab).out), &lines); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, l := range lines {
		if l.Best && l.Prefix == prefix {
			out[l.Gateway] = l.Neighbor
		}
	}
	return out
}

// policy writes the example with other timers of BFD, and with offices that use their link only where there is no other way.
func policy(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../examples/hybrid-bgp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	changed := string(text)
	for old, now := range map[string]string{"- between: [hq, branch]": "- {between: [hq, branch], path: avoid}", "interval: 300ms": "interval: 500ms"} {
		if !strings.Contains(changed, old) {
			t.Fatalf("the example has no %q", old)
		}
		changed = strings.Replace(changed, old, now, 1)
	}
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
