package controller_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ropeway/internal/nstest"
)

// patience is how long a test waits for what has to happen: the machine may be slow, and busy with other things.
const patience = 60 * time.Second

// says runs ropeway as the administrator, and wants an exit code and words.
func (w *world) says(code int, args []string, words ...string) string {
	w.t.Helper()
	out, got := w.ropeway("admin", args...)
	if got != code {
		w.t.Errorf("ropeway %s: exit %d, want %d:\n%s", strings.Join(args, " "), got, code, out)
	}
	for _, word := range words {
		if !strings.Contains(out, word) {
			w.t.Errorf("ropeway %s: nothing of %q in\n%s", strings.Join(args, " "), word, out)
		}
	}
	return out
}

func args(list ...string) []string { return list }

// TestChangingTheFabric: what is planned against a controller, saved, applied, looked back at and taken back.
func TestChangingTheFabric(t *testing.T) {
	w := newWorld(t)
	w.serve()
	w.do("login", server, "--token", w.firstToken())
	file, saved := w.shop(pings), w.path("friday.plan")

	w.says(1, args("show"), "RW7504")
	w.says(2, args("status"), "not well", "keeps none yet")
	w.says(2, args("plan", file), "2 to add", "beside nothing", "To apply: ropeway apply")
	w.says(2, args("plan", file, "--offline"), "To accept")
	w.says(2, args("plan", file, "--out", saved), "To apply: ropeway apply "+saved)
	if info, err := os.Stat(saved); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the saved plan: %v, %v", info, err)
	}
	must(t, os.Remove(file)) // it is in the saved plan
	w.says(0, args("apply", saved), "Revision 1 is in force")
	file = w.shop(pings)
	w.says(0, args("plan", file), "nothing to change")
	w.says(1, args("apply", saved), "RW7001", "revision 1 by admin/first (apply)")

	// Somebody else is quicker.
	token := strings.TrimSpace(w.do("token", "create", "--operator", "ada"))
	if out, code := w.ropeway("ada", "login", server, "--token", token); code != 0 {
		t.Fatal(out)
	}
	w.shop(nothing)
	w.says(2, args("plan", file, "--out", saved))
	other := w.path("other.yaml")
	must(t, os.WriteFile(other, []byte(strings.Replace(shopText(pings), "10.2.0.0/24", "10.2.0.0/23", 1)), 0o600))
	if out, code := w.ropeway("ada", "apply", other, "--auto-approve", "--reason", "west grows"); code != 0 {
		t.Fatal(out)
	}
	w.says(1, args("apply", saved), "RW7001", "revision 2 by operator/ada (apply)", "west grows", "2 gateways changed: gw1, gw2")
	w.says(0, args("get", "revisions", "2"), "operator/ada")

	// What is wrong with a file is said a line each.
	wrong := w.path("wrong.yaml")
	must(t, os.WriteFile(wrong, []byte(strings.NewReplacer("10.2.0.0/24", "10.1.0.0/24", "name: gw1", "name: GW1").Replace(shopText(pings))), 0o600))
	w.says(1, args("apply", wrong, "--auto-approve"), "RW1203 region ", "\nRW7009 controller ", "RW1101 gateway ")

	// A saved plan that somebody changed is none.
	text, err := os.ReadFile(saved)
	must(t, err)
	must(t, os.WriteFile(saved, []byte(strings.Replace(string(text), `"base":1`, `"base":2`, 1)), 0o600))
	w.says(1, args("apply", saved), "RW7501")

	w.says(0, args("history"), "west grows", "2 gateways added: gw1, gw2", "2 gateways changed: gw1, gw2")
	if out := w.says(0, args("show", "1")); out != shopText(pings) {
		t.Errorf("revision 1 is another file:\n%s", out)
	}
	w.says(0, args("show", "2", "--plan"), "10.2.0.0/23", "revision 1 → 2")
	w.says(2, args("diff", "1", "2"), "+++ revision-2.yaml", "10.2.0.0/23", "Reachability")
	w.says(0, args("diff", "2"), "nothing to change")
	w.says(1, args("show", "99"), "RW7503")
	w.says(1, args("diff", "1", "99"), "RW7503")
	w.says(1, args("rollback", "99", "--auto-approve"), "RW7503")
	w.says(1, args("rollback", "1"), "RW6001") // nobody is there to ask
	w.says(0, args("rollback", "1", "--auto-approve", "--reason", "too wide"), "Revision 3 is in force")
	w.says(0, args("get", "revisions"), "rollback", "back to revision 1: too wide")
	if out := w.says(0, args("show")); out != shopText(pings) {
		t.Errorf("the fabric is not what it was:\n%s", out)
	}

	w.says(0, args("get", "links"), "gw1,gw2", "no key of gw1")
	w.says(0, args("get", "links", "gw2,gw1", "-o", "wide"), "192.0.2.1:51820")
	w.says(0, args("get", "peers", "gw1"), "gw2", "192.0.2.2:51820")
	w.says(0, args("get", "prefixes", "10.1.0.77"), "10.1.0.0/24", "east")
	w.says(0, args("describe", "gateway", "gw1"), "Gateway gw1", "not enrolled", "pending")
	w.says(0, args("describe", "link", "gw1"), "Link gw1,gw2")
	w.says(0, args("describe", "prefixes", "east"), "access 1: region/east → region/west, icmp")
	w.says(0, args("describe", "peers", "gw2", "-o", "yaml"), "gateway: gw2")
	for _, kind := range []string{"gateways", "links", "peers", "prefixes"} {
		w.says(1, args("get", kind, "nobody"), "RW7507")
	}
	w.says(2, args("status"), "not well", "2 gateways", "not enrolled")
	w.says(0, args("drift"), "Nothing is known of 2 gateways: gw1, gw2")
}

// TestSeeingTheFabric: what status, drift and --watch tell while things happen to gateways, and what becomes of one that is put out.
func TestSeeingTheFabric(t *testing.T) {
	w := newWorld(t)
	w.serve()
	w.do("login", server, "--token", w.firstToken())
	east, west := w.gateways[0], w.gateways[1]
	w.do("apply", w.shop(pings), "--auto-approve")
	for _, g := range w.gateways {
		if out, err := g.enroll(strings.TrimSpace(w.do("token", "create", "--gateway", g.name()))); err != nil {
			t.Fatalf("enroll: %v\n%s", err, out)
		}
		g.run()
	}
	w.allWell()
	eventually(t, patience, "the fabric is well", func() bool { _, code := w.ropeway("admin", "status"); return code == 0 })
	w.says(0, args("drift"))
	w.says(0, args("get", "links"), "ready")
	watching := start(t, w.office, w.path("watch"), "env", "ROPEWAY_CONFIG="+w.path("person-admin"), filepath.Join(programs, "ropeway"), "get", "gateways", "--watch")
	shows := func(word string) func() bool {
		return func() bool {
			text, _ := os.ReadFile(w.path("watch.out"))
			return strings.Contains(string(text), word)
		}
	}
	eventually(t, patience, "the watcher shows both", shows("gw2"))

	// Somebody takes a route away: the agent puts it back, and says so.
	nstest.In(t, east.ns, func() {
		if out, err := exec.Command("ip", "route", "del", "10.2.0.0/24").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
	eventually(t, patience, "the drift is told", func() bool {
		out, code := w.ropeway("admin", "drift")
		return code == 2 && strings.Contains(out, "gw1") && strings.Contains(out, "undone") && strings.Contains(out, "10.2.0.0/24")
	})
	w.says(0, args("status"), "notice", "undid them")
	w.says(0, args("describe", "gateways", "gw1"), "routes undone")

	w.imports()

	west.agent.kill()
	eventually(t, patience, "status names the place that is away", func() bool {
		out, code := w.ropeway("admin", "status")
		first := strings.Index(out, "outage")
		return code == 2 && first > 0 && strings.Contains(out[first:], "place west: its only gateway is away: gw2") && strings.Contains(out, "1 link ends there")
	})
	eventually(t, patience, "the watcher shows who is away", shows("away"))
	west.run()
	w.allWell()
	watching.kill()

	// A gateway that is put out is put out now: its connection ends, and the other gateway does not know it any more.
	members := w.members()
	if len(members) != 3 || members[1].Identity != "gateway/gw1" || !members[1].Connected || members[1].Until.Before(time.Now()) {
		t.Errorf("the members: %+v", members)
	}
	eventually(t, patience, "the hosts reach each other", func() bool { return east.reaches(west) })
	w.says(1, args("member", "revoke", "gateway/nobody", "--auto-approve"), "RW7505")
	w.says(1, args("member", "revoke", "admin/first", "--auto-approve"), "RW7506")
	w.says(1, args("member", "revoke", "gw1", "--auto-approve"), "RW6001")
	w.says(0, args("member", "revoke", "gateway/gw1", "--auto-approve"), "a member no more", "takes its key out")
	eventually(t, patience, "nobody speaks with it any more", func() bool { return !east.reaches(west) })
	eventually(t, patience, "its conversation ended", func() bool { m := w.members()[1]; return !m.Connected && m.State == "revoked" })
	w.says(0, args("member", "list"), "revoked")
	w.says(2, args("status"), "not enrolled")

	// With a new token it may come back.
	east.agent.kill()
	if out, err := east.enroll(strings.TrimSpace(w.do("token", "create", "--gateway", "gw1"))); err != nil {
		t.Fatalf("enroll again: %v\n%s", err, out)
	}
	east.run()
	eventually(t, patience, "it is one of them again", func() bool { return east.reaches(west) })
}

// A memberLine is a row of member list -o json.
type memberLine struct {
	Identity, State string
	Until           time.Time
	Connected       bool
}

func (w *world) members() (list []memberLine) {
	w.t.Helper()
	must(w.t, json.Unmarshal([]byte(w.do("member", "list", "-o", "json")), &list))
	return list
}

// dump is what wg says of the devices of a gateway.
func (g *gateway) dump() string {
	g.w.t.Helper()
	dump := exec.Command("unshare", "-m", "sh", "-c", `mount --bind "$0" /run && exec wg show all dump`, g.path("run"))
	var out []byte
	var err error
	nstest.In(g.w.t, g.ns, func() { out, err = dump.CombinedOutput() })
	if err != nil {
		g.w.t.Fatalf("wg show all dump: %v\n%s", err, out)
	}
	return string(out)
}

// imports makes a fabric file of what wg says of the devices that run: the places and what lies behind them come back, and no private key does.
func (w *world) imports() {
	w.t.Helper()
	argv := args("import", "--name", "again")
	var secrets []string
	for _, g := range w.gateways {
		out := g.dump()
		secrets = append(secrets, strings.Split(out, "\t")[1])
		must(w.t, os.WriteFile(g.path("dump"), []byte(out), 0o600))
		argv = append(argv, g.name()+"="+g.path("dump"))
	}
	text := w.says(0, argv, "name: gw1", "10.1.0.0/24", `endpoint: "192.0.2.1"`, "name: gw2", "10.2.0.0/24", `endpoint: "192.0.2.2"`)
	for _, secret := range secrets {
		if len(secret) != 44 || strings.Contains(text, secret) {
			w.t.Error("a private key was imported, or none was there to begin with")
		}
	}
}
