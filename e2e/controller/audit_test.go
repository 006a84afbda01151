package controller_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ropeway/internal/nstest"
	"ropeway/internal/token"
)

// An auditLine is a row of audit list -o json.
type auditLine struct {
	Position                                       int64
	Who, What, Object, Outcome, Code, From, Detail string
	Revision                                       uint64
	Count                                          int64
	Override                                       []string
	At                                             time.Time
}

func (l auditLine) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", l.Who, l.What, l.Object, l.Outcome, l.Code))
}

// audit is what the log has, but for the steps by which changes come to gateways: how many those are depends on who is there.
func (w *world) audit(args ...string) (list []auditLine) {
	w.t.Helper()
	must(w.t, json.Unmarshal([]byte(w.do(append([]string{"audit", "list", "-o", "json", "--limit", "1000"}, args...)...)), &list))
	slices.Reverse(list) // the oldest first
	return slices.DeleteFunc(list, func(l auditLine) bool { return l.What == "rollout.step" })
}

func (w *world) token(args ...string) (text, id string) {
	w.t.Helper()
	text = strings.TrimSpace(w.do(append([]string{"token", "create"}, args...)...))
	t, err := token.Parse(text)
	must(w.t, err)
	return text, t.ID()
}

// fails is ropeway as somebody, which must be refused.
func (w *world) fails(person, code string, args ...string) {
	w.t.Helper()
	if out, exit := w.ropeway(person, args...); exit == 0 || !strings.Contains(out, code) {
		w.t.Errorf("%s: ropeway %v: exit %d, want a refusal with %s:\n%s", person, args, exit, code, out)
	}
}

const broken = nothing + "]\n  tests: [{from: region/west, to: region/east, expect: reachable}"

// TestAudit: every kind of change and of refusal is in the log, once, and in the file beside it; the log proves itself against a checkpoint that was
// kept elsewhere, through a kill and a trim; and no token is in any of it.
func TestAudit(t *testing.T) {
	w := newWorld(t)
	file := w.path("audit.jsonl")
	w.serve("--audit-file", file)
	secrets := []string{w.firstToken()}
	first, err := token.Parse(secrets[0])
	must(t, err)
	w.do("login", server, "--token", secrets[0])
	want := []string{
		"ropewayd token.create token/" + first.ID() + " done", "admin/first member.enroll admin/first done",
	}
	add := func(lines ...string) { want = append(want, lines...) }

	eve, id := w.token("--viewer", "eve")
	secrets = append(secrets, eve)
	if out, code := w.ropeway("eve", "login", server, "--token", eve); code != 0 {
		t.Fatal(out)
	}
	add("admin/first token.create token/"+id+" done", "viewer/eve member.enroll viewer/eve done")
	w.fails("thief", "RW7005", "login", server, "--token", eve)
	w.fails("eve", "RW7008", "apply", w.shop(pings), "--auto-approve")
	w.fails("eve", "RW7008", "token", "create", "--admin", "eve")
	w.fails("eve", "RW7008", "audit", "list")
	add("nobody member.enroll token/"+id+" refused RW7005", "viewer/eve fabric.apply  refused RW7008", "viewer/eve token.create  refused RW7008", "viewer/eve audit.list-entries  refused RW7008")

	east, id := w.token("--gateway", "gw1")
	secrets = append(secrets, east)
	if out, err := w.gateways[0].enroll(east); err != nil {
		t.Fatalf("enroll: %v\n%s", err, out)
	}
	w.do("apply", w.shop(pings), "--auto-approve")
	add("admin/first token.create token/"+id+" done", "gateway/gw1 member.enroll gateway/gw1 done", "admin/first fabric.apply revision/1 done")
	west, id := w.token("--gateway", "gw2")
	secrets = append(secrets, west)
	if out, err := w.gateways[1].enroll(west); err != nil {
		t.Fatalf("enroll: %v\n%s", err, out)
	}
	add("admin/first token.create token/"+id+" done", "gateway/gw2 member.enroll gateway/gw2 done", "gateway/gw2 key.register gateway/gw2 done")
	w.fails("admin", "RW7004", "apply", w.shop(broken), "--auto-approve", "--override", "tests")
	w.do("apply", w.shop(broken), "--auto-approve", "--override", "tests", "--reason", "it has to be; the token was "+west)
	add("admin/first fabric.apply  refused RW7004", "admin/first fabric.override revision/3 done")
	spare, id := w.token("--gateway", "gw1", "--replace")
	secrets = append(secrets, spare)
	w.do("token", "revoke", id)
	w.fails("admin", "RW7009", "token", "revoke", id)
	w.fails("admin", "RW7009", "token", "create", "--viewer", "x", "--ttl", "1s")
	add("admin/first token.create token/"+id+" done", "admin/first token.revoke token/"+id+" done", "admin/first token.revoke token/"+id+" refused RW7009", "admin/first token.create viewer/x refused RW7009")
	w.stranger("/secret\x1b[31m")
	add(`nobody call.unknown "/secret\x1b[31m" refused RW7008`)

	var got []string
	eventually(t, 60*time.Second, "every refusal is in the log", func() bool { return len(w.audit()) >= len(want) })
	for _, l := range w.audit() {
		got = append(got, l.String())
		if l.Who != "ropewayd" && l.From != "192.0.2.100" && !(strings.HasPrefix(l.Who, "gateway/") && strings.HasPrefix(l.From, "192.0.2.")) {
			t.Errorf("%s came from %q", l, l.From)
		}
	}
	w.sameLines(got, want)
	if l := w.audit("--what", "fabric.override"); len(l) != 1 || l[0].Revision != 3 || !slices.Equal(l[0].Override, []string{"tests"}) || !strings.HasPrefix(l[0].Detail, "it has to be") {
		t.Errorf("the override is %+v", l)
	}
	if l := w.audit("--who", "viewer/eve", "--since", "24h"); len(l) != 4 {
		t.Errorf("eve did %v", l)
	}
	if l := w.audit("--revision", "2"); len(l) != 1 || l[0].What != "key.register" {
		t.Errorf("revision 2 is %v", l)
	}
	if table := w.do("audit", "list", "--what", "token"); !strings.Contains(table, "token.revoke") || strings.Contains(table, "fabric.") {
		t.Errorf("the table is\n%s", table)
	}
	w.proves(file, secrets)
}

// stranger asks for a path without a certificate.
func (w *world) stranger(path string) {
	w.t.Helper()
	var conn net.Conn
	var err error
	nstest.In(w.t, w.office, func() { conn, err = net.DialTimeout("tcp", "192.0.2.100:8443", 30*time.Second) })
	must(w.t, err)
	defer func() { _ = conn.Close() }()
	must(w.t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	_, err = fmt.Fprintf(secure, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", (&url.URL{Path: path}).EscapedPath())
	must(w.t, err)
	answer, err := http.ReadResponse(bufio.NewReader(secure), nil)
	must(w.t, err)
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode < 400 {
		w.t.Errorf("a stranger is told %s", answer.Status)
	}
}

// sameLines compares what is in the log with what should be, whatever the order: what is refused is written a moment later.
func (w *world) sameLines(got, want []string) {
	w.t.Helper()
	squeeze := func(lines []string) (out []string) {
		for _, l := range lines {
			out = append(out, strings.Join(strings.Fields(l), " "))
		}
		slices.Sort(out)
		return out
	}
	if g, n := squeeze(got), squeeze(want); !slices.Equal(g, n) {
		w.t.Errorf("the log has\n  %s\nwant\n  %s", strings.Join(g, "\n  "), strings.Join(n, "\n  "))
	}
}

// proves exports, kills, trims and exports again.
func (w *world) proves(file string, secrets []string) {
	t := w.t
	t.Helper()
	kept, old, next := w.path("checkpoint"), w.path("old.jsonl"), w.path("next.jsonl")
	must(t, os.WriteFile(kept, []byte(w.do("audit", "checkpoint")), 0o600))
	key := strings.TrimSpace(w.do("audit", "checkpoint", "--key"))
	w.controller.kill()
	w.serve("--audit-file", file)
	w.do("apply", w.shop(pings), "--auto-approve")
	w.do("audit", "export", old)
	out, code := w.ropeway("nobody", "audit", "verify", old, "--checkpoint", kept, "--key", key) // who has no membership
	if code != 0 || !strings.Contains(out, "nothing is missing and nothing was changed") {
		t.Errorf("an honest export: exit %d\n%s", code, out)
	}
	text, err := os.ReadFile(old)
	must(t, err)
	for name, c := range map[string]struct{ code, text string }{
		"changed":   {"RW7405", strings.Replace(string(text), `"name":"viewer/eve"`, `"name":"viewer/ann"`, 1)},
		"truncated": {"RW7404", string(text[:strings.LastIndex(strings.TrimSpace(string(text)), "\n")+1])},
		"no export": {"RW7401", "{}\n"},
	} {
		path := w.path(name + ".jsonl")
		must(t, os.WriteFile(path, []byte(c.text), 0o600))
		w.fails("nobody", c.code, "audit", "verify", path, "--checkpoint", kept)
	}
	w.do("audit", "trim", old, "--auto-approve")
	w.do("audit", "export", next)
	w.do("audit", "verify", old, next, "--checkpoint", kept)
	w.fails("admin", "RW7408", "audit", "verify", next, "--checkpoint", kept)
	w.fails("admin", "RW7403", "audit", "verify", next, old)
	w.inTheFile(file, old, next)
	log, err := os.ReadFile(w.path("ropewayd.log"))
	must(t, err)
	for _, name := range []string{file, file + ".1", old, next} {
		more, err := os.ReadFile(name)
		must(t, err)
		log = append(log, more...)
	}
	for _, secret := range secrets {
		_, rest, _ := strings.Cut(secret, ".")
		if hidden, _, _ := strings.Cut(rest, "."); hidden == "" || strings.Contains(string(log), hidden) {
			t.Error("a token is in the log or in what was exported")
		}
	}
}

// inTheFile sees that the file has every event of both exports once, also where it was rotated in between.
func (w *world) inTheFile(file, old, next string) {
	t := w.t
	t.Helper()
	events := func(name string) []string {
		text, err := os.ReadFile(name)
		must(t, err)
		_, rest, _ := strings.Cut(string(text), "\n") // the header
		return strings.Split(strings.TrimSpace(rest), "\n")
	}
	want := append(events(old), events(next)...)
	var text []byte
	eventually(t, 60*time.Second, "all events are in the file", func() bool {
		text, _ = os.ReadFile(file)
		return strings.Count(string(text), "\n") >= len(want)
	})
	if got := strings.Split(strings.TrimSpace(string(text)), "\n"); !slices.Equal(got, want) {
		t.Errorf("the file has %d events, the exports %d, and they are not the same", len(got), len(want))
	}
	must(t, os.Rename(file, file+".1"))
	must(t, w.controller.cmd.Process.Signal(unix.SIGHUP))
	w.do("token", "create", "--viewer", "later")
	eventually(t, 60*time.Second, "the file is a new one", func() bool {
		text, _ := os.ReadFile(file)
		return strings.Contains(string(text), "token.create")
	})
}
