package controller_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"ropeway/internal/nstest"
)

// long is how long something may take on a machine that others use, too.
const long = time.Minute

// controllerAt starts controller number n of several: it is called cN, and listens at port 844N for clients and 238N for the others.
func (w *world) controllerAt(n int, more ...string) *process {
	w.t.Helper()
	args := []string{
		filepath.Join(programs, "ropewayd"), "serve", "--data", w.path(fmt.Sprint("data", n)), "--fabric", "shop", "--controller", fmt.Sprint("c", n),
		"--listen", fmt.Sprint("192.0.2.100:844", n), "--name", "192.0.2.100", "--peer-url", fmt.Sprint("https://192.0.2.100:238", n),
	}
	return start(w.t, w.office, w.path(fmt.Sprintf("ropewayd%d.log", n)), append(args, more...)...)
}

// serves waits until controller number n answers.
func (w *world) serves(n int) {
	w.t.Helper()
	eventually(w.t, long, fmt.Sprintf("controller c%d serves", n), func() bool {
		var conn net.Conn
		var err error
		nstest.In(w.t, w.office, func() { conn, err = net.DialTimeout("tcp", fmt.Sprint("192.0.2.100:844", n), time.Second) })
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// A member is a row of cluster status -o json.
type member struct{ Name, Role, State, URL string }

// cluster returns the controllers as they are, by name; nothing where no controller answers.
func (w *world) cluster() map[string]member {
	w.t.Helper()
	out, code := w.ropeway("admin", "cluster", "status", "-o", "json")
	if code != 0 {
		return nil
	}
	var list []member
	must(w.t, json.Unmarshal([]byte(out), &list))
	all := map[string]member{}
	for _, m := range list {
		all[m.Name] = m
	}
	return all
}

// allServe waits until so many controllers are well, and members with a vote.
func (w *world) allServe(names ...string) {
	w.t.Helper()
	eventually(w.t, long, fmt.Sprint("the controllers are well: ", names), func() bool {
		all := w.cluster()
		for _, name := range names {
			if m := all[name]; m.State != "well" || m.Role != "leader" && m.Role != "follower" {
				return false
			}
		}
		return len(all) == len(names)
	})
}

// three makes a cluster of three, of which the first was there alone, with two gateways that follow.
func three(t testing.TB) (*world, map[string]*process) {
	w := newWorld(t)
	all := map[string]*process{"c1": w.controllerAt(1)}
	w.serves(1)
	w.do("login", "https://192.0.2.100:8441", "--token", w.tokenIn("ropewayd1.log.out"))
	w.do("apply", w.shop(pings), "--auto-approve")
	for _, g := range w.gateways {
		if out, err := g.enrollAt("https://192.0.2.100:8441", strings.TrimSpace(w.do("token", "create", "--gateway", g.name()))); err != nil {
			t.Fatalf("enroll: %v\n%s", err, out)
		}
		g.run()
	}
	for n := 2; n <= 3; n++ {
		name := fmt.Sprint("c", n)
		token := strings.TrimSpace(w.do("token", "create", "--controller", name))
		all[name] = w.controllerAt(n, "--join", "https://192.0.2.100:8441", "--token", token)
		w.allServe([]string{"c1", "c2", "c3"}[:n]...)
	}
	eventually(t, long, "the hosts reach each other", func() bool { return w.gateways[0].reaches(w.gateways[1]) })
	return w, all
}

// tokenIn returns the first token that a file shows.
func (w *world) tokenIn(name string) string {
	text, err := os.ReadFile(w.path(name))
	must(w.t, err)
	_, rest, _ := strings.Cut(string(text), "--token ")
	token, _, _ := strings.Cut(rest, "\n")
	return token
}

func (g *gateway) enrollAt(server, token string) (out string, err error) {
	argv := g.command("enroll", "--server", server, "--token", token)
	var both []byte
	nstest.In(g.w.t, g.ns, func() { both, err = exec.Command(argv[0], argv[1:]...).CombinedOutput() })
	return string(both), err
}

var inForce = regexp.MustCompile(`Revision (\d+) is in force`)

// acknowledged applies a file, and returns the number of the revision that was acknowledged, 0 where none was.
func (w *world) acknowledged(access string) uint64 {
	out, code := w.ropeway("admin", "apply", w.shop(access), "--auto-approve")
	if m := inForce.FindStringSubmatch(out); code == 0 && m != nil {
		n, err := strconv.ParseUint(m[1], 10, 64)
		must(w.t, err)
		return n
	}
	return 0
}

// TestTheLeaderIsKilled: of three controllers the leader is killed while a person changes the fabric. Nothing that was acknowledged is lost, others
// serve people and gateways, and a dead one is replaced while they do.
func TestTheLeaderIsKilled(t *testing.T) {
	w, all := three(t)
	east, west := w.gateways[0], w.gateways[1]
	var acked []uint64
	change := func(i int) {
		t.Helper()
		access := pings
		if i%2 == 0 {
			access = nothing
		}
		if n := w.acknowledged(access); n > 0 {
			acked = append(acked, n)
		}
	}
	for round := range 2 {
		leader := ""
		eventually(t, long, "somebody leads", func() bool {
			for name, m := range w.cluster() {
				if m.Role == "leader" {
					leader = name
				}
			}
			return leader != ""
		})
		dead := make(chan time.Time, 1)
		time.AfterFunc(time.Duration(300+400*round)*time.Millisecond, func() { all[leader].kill(); dead <- time.Now() })
		for i := range 4 {
			change(i)
		}
		killed, before := <-dead, len(acked)
		eventually(t, long, "a change is taken without "+leader, func() bool { change(len(acked)); return len(acked) > before })
		t.Logf("%s was killed; %v later a change had been taken since", leader, time.Since(killed))

		var n int
		_, err := fmt.Sscanf(leader, "c%d", &n)
		must(t, err)
		if round == 0 { // it comes back as it was
			all[leader] = w.controllerAt(n)
			w.allServe("c1", "c2", "c3")
			continue
		}
		// it is replaced: its machine is gone, and another one has its name
		must(t, os.RemoveAll(w.path(fmt.Sprint("data", n))))
		other := "c1"
		if leader == other {
			other = "c2"
		}
		refused, code := w.ropeway("admin", "cluster", "remove", other)
		if code == 0 || !strings.Contains(refused, "RW7205") {
			t.Errorf("one of the last two was removed: %d, %s", code, refused)
		}
		w.do("cluster", "remove", leader)
		token := strings.TrimSpace(w.do("token", "create", "--controller", leader))
		all[leader] = w.controllerAt(n, "--join", w.cluster()[other].URL, "--token", token)
		w.allServe("c1", "c2", "c3")
	}
	w.nothingLost(acked)
	eventually(t, long, "the last change is taken", func() bool { return w.acknowledged(nothing+", {from: region/west, to: region/east}") > 0 })
	eventually(t, long, "gateways follow those that are left", func() bool { return !east.reaches(west) })
	eventually(t, long, "another change is taken", func() bool { return w.acknowledged(pings) > 0 })
	eventually(t, long, "the hosts reach each other", func() bool { return east.reaches(west) })
}

// nothingLost finds every acknowledged revision.
func (w *world) nothingLost(acked []uint64) {
	w.t.Helper()
	var list []struct{ Number uint64 }
	must(w.t, json.Unmarshal([]byte(w.do("get", "revisions", "--limit", "1000", "-o", "json")), &list))
	have := map[uint64]bool{}
	for _, r := range list {
		have[r.Number] = true
	}
	for _, n := range acked {
		if !have[n] {
			w.t.Errorf("revision %d was acknowledged and is lost", n)
		}
	}
	w.t.Logf("%d changes were acknowledged", len(acked))
}

// TestWhoMayNotJoin: only who has a token for a controller of the very name becomes one, and what is refused changes nothing.
func TestWhoMayNotJoin(t *testing.T) {
	w := newWorld(t)
	w.serve() // alone
	w.do("login", server, "--token", w.firstToken())
	join := func(n int, want string, more ...string) {
		t.Helper()
		p := w.controllerAt(n, append([]string{"--join", server}, more...)...)
		select {
		case <-p.done:
			p.cmd = nil
		case <-time.After(long):
			t.Fatal("it goes on")
		}
		text, err := os.ReadFile(w.path(fmt.Sprintf("ropewayd%d.log", n)))
		must(t, err)
		if !strings.Contains(string(text), want) {
			t.Errorf("controller c%d says %s, want %s", n, text, want)
		}
		if _, err := os.Stat(w.path(fmt.Sprintf("data%d/authority", n))); err == nil {
			t.Errorf("controller c%d has an authority", n)
		}
	}
	token := func(args ...string) string {
		return strings.TrimSpace(w.do(append([]string{"token", "create"}, args...)...))
	}
	good := token("--controller", "c2")
	join(2, "RW7220", "--token", good) // nobody can reach the other one
	join(3, "RW7226", "--token", good) // another name
	join(4, "RW7226", "--token", token("--admin", "c4"))
	join(5, "RW7226", "--token", token("--gateway", "c5"))
	join(6, "RW7226", "--token", good[:len(good)-2]+"AA") // another pin
	join(7, "RW6001")
	if out, err := w.gateways[0].enroll(good); err == nil || !strings.Contains(out, "token") {
		t.Errorf("a gateway with the token of a controller: %v\n%s", err, out)
	}
	if out, code := w.ropeway("thief", "login", server, "--token", good); code == 0 {
		t.Errorf("a person with the token of a controller: %s", out)
	}
	viewer := token("--viewer", "eve")
	if out, code := w.ropeway("eve", "login", server, "--token", viewer); code != 0 {
		t.Fatal(out)
	}
	for _, args := range [][]string{{"cluster", "remove", "first"}, {"backup", w.path("stolen")}, {"token", "create", "--controller", "c9"}} {
		if out, code := w.ropeway("eve", args...); code == 0 || !strings.Contains(out, "RW7008") {
			t.Errorf("a viewer: %v: %d, %s", args, code, out)
		}
	}
	if out, code := w.ropeway("eve", "cluster", "status"); code != 0 || !strings.Contains(out, "leader") {
		t.Errorf("a viewer sees nothing: %s", out)
	}
	if all := w.cluster(); len(all) != 1 {
		t.Errorf("controllers: %v", all)
	}
	for _, args := range [][]string{{"cluster", "remove", "first"}, {"cluster", "remove", "nobody"}, {"backup", w.path("backup")}} {
		want := map[string]string{"first": "RW7205", "nobody": "RW7223", w.path("backup"): "RW7224"}[args[len(args)-1]]
		if out, code := w.ropeway("admin", args...); code == 0 || !strings.Contains(out, want) {
			t.Errorf("%v: %d, want %s: %s", args, code, want, out)
		}
	}
}
