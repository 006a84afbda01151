package controller_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// shop writes a fabric of two places; access says what may pass between them.
func (w *world) shop(access string) string {
	file := w.path("shop.yaml")
	must(w.t, os.WriteFile(file, []byte(shopText(access)), 0o600))
	return file
}

func shopText(access string) string {
	return fmt.Sprintf(`apiVersion: ropeway/v1
kind: Fabric
metadata: {name: shop}
spec:
  topology: {mode: mesh}
  regions:
    - {name: east, prefixes: [10.1.0.0/24], gateways: [{name: gw1, endpoint: 192.0.2.1}]}
    - {name: west, prefixes: [10.2.0.0/24], gateways: [{name: gw2, endpoint: 192.0.2.2}]}
  access: [%s]
`, access)
}

const (
	pings   = "{from: region/east, to: region/west, ports: [icmp]}"
	nothing = "{from: region/east, to: region/west, ports: [tcp/443]}"
)

// TestTheCircle: a person changes the fabric, gateways follow; without a controller they go on, and afterwards they catch up.
func TestTheCircle(t *testing.T) {
	w := newWorld(t)
	w.serve()
	w.do("login", server, "--token", w.firstToken())
	east, west := w.gateways[0], w.gateways[1]

	if out, err := east.enroll(strings.TrimSpace(w.do("token", "create", "--gateway", "gw1"))); err != nil { // before any fabric has it
		t.Fatalf("enroll: %v\n%s", err, out)
	}
	w.do("apply", w.shop(pings), "--auto-approve")
	if out, err := west.enroll(strings.TrimSpace(w.do("token", "create", "--gateway", "gw2"))); err != nil {
		t.Fatalf("enroll: %v\n%s", err, out)
	}
	east.run()
	west.run()
	w.allWell()
	eventually(t, 10*time.Second, "the hosts reach each other", func() bool { return east.reaches(west) })

	w.do("apply", w.shop(nothing), "--auto-approve")
	w.allWell()
	if east.reaches(west) {
		t.Error("a ping passes that is no longer allowed")
	}

	w.controller.kill()
	west.agent.kill()
	west.run() // without a controller it begins with the last grant
	time.Sleep(time.Second)
	w.serve()
	w.do("apply", w.shop(pings), "--auto-approve")
	w.allWell()
	eventually(t, 10*time.Second, "the hosts reach each other again", func() bool { return east.reaches(west) })

	w.controller.kill()
	for range 5 {
		if !east.reaches(west) {
			t.Error("a packet is lost while no controller is there")
		}
	}
}

// allWell waits until both gateways are what the newest revision says.
func (w *world) allWell() {
	w.t.Helper()
	eventually(w.t, 30*time.Second, "both gateways are well", func() bool {
		all := w.lines()
		return all["gw1"].State == "well" && all["gw2"].State == "well"
	})
}

// TestWhoMayNot: tokens serve once and for one, roles bound what people may do, and what is refused changes nothing.
func TestWhoMayNot(t *testing.T) {
	w := newWorld(t)
	w.serve()
	first := w.firstToken()
	w.do("login", server, "--token", first)
	refused := func(what, want string, out string, code int) {
		t.Helper()
		if code == 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, want a refusal with %s:\n%s", what, code, want, out)
		}
	}
	out, code := w.ropeway("thief", "login", server, "--token", first)
	refused("a token that was used", "RW7005", out, code)
	out, code = w.ropeway("thief", "login", server, "--token", first[:len(first)-1]+"A")
	refused("a token with another pin", "RW7005", out, code)
	out, code = w.ropeway("thief", "get", "gateways")
	refused("nobody", "RW7006", out, code)

	token := strings.TrimSpace(w.do("token", "create", "--viewer", "eve"))
	if out, code := w.ropeway("eve", "login", server, "--token", token); code != 0 {
		t.Fatal(out)
	}
	file := w.shop(pings)
	if out, code := w.ropeway("eve", "get", "gateways"); code != 0 {
		t.Errorf("a viewer sees nothing: %s", out)
	}
	out, code = w.ropeway("eve", "apply", file, "--auto-approve")
	refused("a viewer who applies", "RW7008", out, code)
	out, code = w.ropeway("eve", "token", "create", "--admin", "eve2")
	refused("a viewer who promotes himself", "RW7008", out, code)

	token = strings.TrimSpace(w.do("token", "create", "--viewer", "eve", "--replace"))
	if out, code := w.ropeway("eve's new machine", "login", server, "--token", token); code != 0 {
		t.Fatal(out)
	}
	out, code = w.ropeway("eve", "get", "gateways")
	refused("one whose place was taken", "RW7008", out, code)

	token = strings.TrimSpace(w.do("token", "create", "--gateway", "gw1", "--ttl", "1m"))
	id := strings.Fields(w.do("token", "list", "-o", "json"))
	if len(id) == 0 || strings.Contains(strings.Join(id, ""), token) {
		t.Error("the list of tokens shows a token")
	}
	if out, err := w.gateways[0].enroll(token); err != nil {
		t.Fatalf("enroll: %v\n%s", err, out)
	}
	if out, err := w.gateways[1].enroll(token); err == nil {
		t.Errorf("a second gateway with the same token: %s", out)
	}
	token = strings.TrimSpace(w.do("token", "create", "--gateway", "gw1"))
	if out, err := w.gateways[1].enroll(token); err == nil || !strings.Contains(out, "is a member already") {
		t.Errorf("a second gateway of the same name: %v\n%s", err, out)
	}
	token = strings.TrimSpace(w.do("token", "create", "--gateway", "gw1", "--replace"))
	if out, err := w.gateways[1].enroll(token); err != nil {
		t.Errorf("a machine that was replaced: %v\n%s", err, out)
	}
	out, code = w.ropeway("admin", "apply", w.shop("{from: any, to: any}, {from: nowhere, to: any}"), "--auto-approve")
	refused("a file that is wrong", "RW1", out, code)
	if revisions := w.do("get", "revisions", "-o", "json"); strings.TrimSpace(revisions) != "[]" {
		t.Errorf("what was refused made a revision: %s", revisions)
	}
	log, err := os.ReadFile(w.path("ropewayd.log"))
	must(t, err)
	if strings.Contains(string(log), "rwt1.") || !strings.Contains(string(log), "an enrollment was refused") {
		t.Errorf("the controller's log holds a token, or does not tell of one that was refused:\n%s", log)
	}
}
