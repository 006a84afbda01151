package controller_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"ropeway/internal/nstest"
)

// TestALinkFallsSilent: nothing of the fabric changes, but packets between two gateways no longer pass underneath. Their links say so, and status names
// that as the one cause; when packets pass again, so does it.
func TestALinkFallsSilent(t *testing.T) {
	w := newTrio(t)
	eventually(t, 2*time.Minute, "the fabric is well", func() bool { _, code := w.ropeway("admin", "status"); return code == 0 })
	state := func() string { return w.do("get", "links", "gw1,gw2") }
	if !strings.Contains(state(), "ready") {
		t.Fatalf("before:\n%s", state())
	}
	w.do("apply", w.trio(anyAll), "--auto-approve") // before they follow it gateways look whom they reach
	w.gateways[0].nft("add table ip cut; add chain ip cut out { type filter hook output priority 0; }; add rule ip cut out ip daddr 192.0.2.2 drop")
	eventually(t, 2*time.Minute, "the link is silent", func() bool { return strings.Contains(state(), "silent") })
	eventually(t, time.Minute, "both ends hear nothing", func() bool {
		out, code := w.ropeway("admin", "status")
		lines := strings.Split(out, "\n")
		return code == 2 && len(lines) > 3 && strings.HasPrefix(lines[3], "outage   link gw1,gw2: ") &&
			strings.Contains(lines[3], "gw1 gets no answer from gw2") && strings.Contains(lines[3], "gw2 gets no answer from gw1")
	})
	if out := w.do("describe", "link", "gw1,gw2"); !strings.Contains(out, "no answer to") {
		t.Errorf("describe:\n%s", out)
	}
	if out := w.do("get", "links", "gw3"); strings.Contains(out, "silent") {
		t.Errorf("other links:\n%s", out)
	}
	w.gateways[0].nft("delete table ip cut")
	eventually(t, 3*time.Minute, "the fabric is well again", func() bool { _, code := w.ropeway("admin", "status"); return code == 0 })
	if !strings.Contains(state(), "ready") {
		t.Errorf("after:\n%s", state())
	}
}

// nft changes what passes on the machine beside what is Ropeway's.
func (g *gateway) nft(commands string) {
	g.w.t.Helper()
	nstest.In(g.w.t, g.ns, func() {
		if out, err := exec.Command("nft", commands).CombinedOutput(); err != nil {
			g.w.t.Fatalf("nft %s: %v\n%s", commands, err, out)
		}
	})
}
