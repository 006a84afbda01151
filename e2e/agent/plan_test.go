package agent_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ropeway/internal/agent"
	"ropeway/internal/plan"
)

func hasLine(text, line string) bool {
	for l := range strings.Lines(text) {
		if strings.TrimRight(l, "\n") == line {
			return true
		}
	}
	return false
}

// TestBadPlans: whatever stands in place of the plan file, the last good plan stays in force and the agent says why.
func TestBadPlans(t *testing.T) {
	w := newWorld(t, 3)
	a, b := w.gateways[0], w.gateways[1]
	b.echo()
	w.start()
	good := a.write(w.plan(1, 2, 3))
	a.waitStatus("at the good plan", func(st *agent.Status) bool { return st.Plan.Applied == good && st.Healthy })
	s := a.stream(b)

	encode := func(p *plan.Gateway) []byte {
		data, err := plan.Encode("test", p)
		must(t, err)
		return data
	}
	smaller := encode(w.plan(1, 2))
	foreign := w.plan(1, 2)
	foreign.Name = "gw9"
	otherFabric, err := plan.Encode("other", w.plan(1, 2))
	must(t, err)
	hostile, err := plan.Encode("test\"} 1\nropeway_healthy 1\u202e", w.plan(1, 2))
	must(t, err)
	otherKey := w.plan(1, 2)
	otherKey.Devices[0].PublicKey = w.gateways[2].key
	ownKey := w.plan(1, 2)
	ownKey.Devices[0].Peers[0].PublicKey = a.key
	twice := w.plan(1, 2, 3)
	twice.Devices[0].Peers[1].PublicKey = b.key
	shared := w.plan(1, 2, 3)
	shared.Devices[0].Peers[1].AllowedIPs = shared.Devices[0].Peers[0].AllowedIPs
	bare := w.plan(1, 2)
	bare.Devices, bare.Routes = nil, nil

	cases := []struct {
		name, code string
		data       []byte
	}{
		{"empty", "RW4003", nil},
		{"null", "RW4003", []byte("null\n")},
		{"no JSON", "RW4003", []byte("\x00\xff\u202e; rm -rf / $(reboot)\n")},
		{"truncated", "RW4003", smaller[:len(smaller)/2]},
		{"changed", "RW4003", bytes.Replace(smaller, []byte("10.2.0.0/24"), []byte("10.3.0.0/24"), 1)},
		{"text after its end", "RW4003", append(bytes.Clone(smaller), '{')},
		{"unknown field", "RW4003", bytes.Replace(smaller, []byte(`"kind"`), []byte(`"PostUp\n\u202e": "reboot", "kind"`), 1)},
		{"hostile fabric name", "RW4003", hostile},
		{"hostile gateway name", "RW4003", bytes.Replace(smaller, []byte(`"name": "gw1"`), []byte(`"name": "gw1\n$(reboot)\u202e"`), 1)},
		{"hostile device name", "RW4003", bytes.Replace(smaller, []byte(`"name": "rw0"`), []byte(`"name": "../eth0; drop"`), 1)},
		{"hostile endpoint", "RW4003", bytes.Replace(smaller, []byte(`"192.0.2.2:51820"`), []byte(`"$(reboot)\u0000:51820"`), 1)},
		{"hostile sysctl", "RW4003", bytes.Replace(smaller, []byte(`"net/ipv4/ip_forward"`), []byte(`"net/ipv4/../../kernel/core_pattern"`), 1)},
		{"other gateway", "RW4004", encode(foreign)},
		{"other fabric", "RW4004", otherFabric},
		{"other key", "RW4005", encode(otherKey)},
		{"own key as peer", "RW4008", encode(ownKey)},
		{"one key twice", "RW4008", encode(twice)},
		{"one prefix twice", "RW4008", encode(shared)},
		{"no device", "RW4008", encode(bare)},
	}
	refusals := 0
	for _, c := range cases {
		a.writeRaw(c.data)
		st := a.waitStatus("refusing a plan that is "+c.name, func(st *agent.Status) bool { return st.Plan.Refusals > refusals && st.Plan.Refused != nil })
		refusals = st.Plan.Refusals
		if got := st.Plan.Refused; string(got.Code) != c.code || got.Message == "" {
			t.Errorf("%s: refused with %+v, want %s", c.name, got, c.code)
		}
		if st.Plan.Wanted != good || st.Plan.Applied != good || !st.Healthy {
			t.Errorf("%s: %+v, healthy %v, want the good plan in force", c.name, st.Plan, st.Healthy)
		}
		if _, body := a.get("/metrics"); !hasLine(body, "ropeway_plan_refused 1") || !hasLine(body, "ropeway_plan_applied 1") {
			t.Errorf("%s: the metrics do not say that it is refused", c.name)
		}
		for _, text := range []string{st.Plan.Refused.Message, a.agent.log.String()} {
			if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }); i >= 0 {
				t.Errorf("%s: something that is not printable: %q", c.name, text[i:min(len(text), i+40)])
			}
		}
	}

	must(t, os.Remove(a.path("plan.json")))
	a.waitRefused("RW4002")
	must(t, os.WriteFile(a.path("elsewhere.json"), smaller, 0o600))
	must(t, os.Symlink(a.path("elsewhere.json"), a.path("plan.json")))
	if st := a.waitRefused("RW4002"); st.Plan.Wanted != good {
		t.Error("a plan was read through a link")
	}
	// Across a restart too.
	a.agent.kill()
	a.start()
	a.waitHealthy()
	if st := a.waitRefused("RW4002"); !st.Healthy || st.Plan.Applied != good {
		t.Errorf("after a restart without a plan file: %+v", st.Plan)
	}
	a.agent.kill()
	must(t, os.Remove(a.path("plan.json")))
	a.writeRaw(encode(foreign))
	a.start()
	a.waitHealthy()
	if st := a.waitRefused("RW4004"); !st.Healthy || st.Plan.Applied != good {
		t.Errorf("after a restart with another gateway's plan: %+v", st.Plan)
	}

	a.writeRaw(encode(w.plan(1, 2, 3)))
	a.waitStatus("satisfied", func(st *agent.Status) bool { return st.Plan.Refused == nil })
	sent, lost := s.end(t)
	t.Logf("%d packets there and back, %d lost", sent, lost)
	if lost > 0 {
		t.Errorf("%d of %d packets were lost", lost, sent)
	}
}

func (g *gateway) waitRefused(code string) *agent.Status {
	g.t.Helper()
	return g.waitStatus("refusing with "+code, func(st *agent.Status) bool {
		return st.Plan.Refused != nil && string(st.Plan.Refused.Code) == code
	})
}

// TestNoPlanYet: an agent without any plan waits for one, and changes nothing meanwhile.
func TestNoPlanYet(t *testing.T) {
	w := newWorld(t, 2)
	a := w.gateways[0]
	before := a.picture(t)
	a.start()
	a.waitRefused("RW4002")
	if code, body := a.get("/healthz"); code != 503 || !strings.Contains(body, "no plan") {
		t.Errorf("/healthz says %d %q", code, body)
	}
	if after := a.picture(t); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	a.write(w.plan(1, 2))
	a.waitHealthy()
}

// TestADamagedCopyIsSaidAndReplaced: the copy in the state directory is input like any other.
func TestADamagedCopyIsSaidAndReplaced(t *testing.T) {
	w := newWorld(t, 2)
	a := w.gateways[0]
	w.start()
	a.agent.kill()
	kept := a.path("state/plan.json")
	info, err := os.Stat(kept)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the copy has mode %v", info.Mode())
	}
	must(t, os.WriteFile(kept, []byte(`{"gateway`), 0o600))
	p := a.start()
	a.waitHealthy()
	if !strings.Contains(p.log.String(), "RW4015") {
		t.Errorf("the log does not say that the copy was damaged:\n%s", p.log)
	}
	data, err := os.ReadFile(kept)
	must(t, err)
	if _, err := plan.Decode(data); err != nil {
		t.Errorf("the copy is still damaged: %v", err)
	}
}

// TestADiskThatIsFull: a plan that cannot be kept is not applied, the one before it stays, and the new one comes into force when
// there is space again.
func TestADiskThatIsFull(t *testing.T) {
	w := newWorld(t, 3)
	a := w.gateways[0]
	a.smallDisk = true
	a.write(w.plan(1, 2))
	p := a.start()
	first := a.waitHealthy().Plan.Applied

	// The disk is in the agent's mount namespace, which is reached by its process.
	filler := fmt.Sprintf("/proc/%d/root%s", p.cmd.Process.Pid, a.path("state/filler"))
	f, err := os.Create(filler)
	must(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 512))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	must(t, f.Close())
	a.write(w.plan(1, 2, 3))
	if st := a.waitRefused("RW4009"); st.Plan.Applied != first || !st.Healthy {
		t.Errorf("with a full disk: %+v, healthy %v", st.Plan, st.Healthy)
	}
	must(t, os.Remove(filler))
	second := plan.Revision(w.plan(1, 2, 3))
	a.waitStatus("at the second plan", func(st *agent.Status) bool { return st.Plan.Applied == second && st.Healthy })
}
