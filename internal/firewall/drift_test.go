package firewall

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropeway/internal/plan"
)

// driftPlan is what the drift tests start from.
func driftPlan(tb testing.TB) *plan.Gateway {
	tb.Helper()
	return gateway(
		both(tb, "tcp/443", "udp/53", "udp/8000-8100", "icmp"),
		plan.Rule{ID: 2, Direction: plan.In, From: pfx("10.2.5.0/24", "10.2.6.0/24"), To: pfx("10.1.7.0/24")},
		plan.Rule{ID: 3, Direction: plan.Transit, From: pfx("0.0.0.0/0", "::/0"), To: pfx("10.3.0.0/16", "fd03::/48")},
	)
}

// TestDrift lets somebody else spoil the table, and sees that it is noticed and mended, and nothing else touched. HANDLE stands
// for the handle of the rule that begins as the words after it, HERE for that rule without its comment.
func TestDrift(t *testing.T) {
	const otherTable = "table inet other {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 10.9.9.9 }\n\t}\n}\n"
	tests := []struct {
		what  string
		spoil string // nft commands, one a line
		line  string // what the change says
	}{
		{"everything flushed", "flush ruleset", "+ table inet ropeway"},
		{"the table deleted", "delete table inet ropeway", "+ table inet ropeway"},
		{"every rule deleted", "flush table inet ropeway", "~ chain forward: 4 rules"},
		{"a chain emptied", "flush chain inet ropeway outbound", "~ chain outbound: 7 rules"},
		{"a rule deleted", "delete rule inet ropeway outbound HANDLE counter name \"dropped_out\"", "~ chain outbound: 7 rules"},
		{"a rule added at the end", "add rule inet ropeway inbound accept", "~ chain inbound: 2 rules"},
		{"a rule added at the front", "insert rule inet ropeway forward accept", "~ chain forward: 4 rules"},
		{"a rule replaced by one with its comment", "replace rule inet ropeway inbound HANDLE ip saddr accept comment \"access 2\"", "~ chain inbound: 2 rules"},
		{"a verdict changed", "replace rule inet ropeway transit HANDLE counter name \"dropped_transit\" counter name \"dropped_transit\" accept", "~ chain transit: 3 rules"},
		{"a verdict taken away", "replace rule inet ropeway transit HANDLE counter name \"dropped_transit\" counter name \"dropped_transit\"", "~ chain transit: 3 rules"},
		{"a comment taken away", "replace rule inet ropeway transit HANDLE ip6 saddr HERE", "~ chain transit: 3 rules"},
		{"a set emptied", "flush set inet ropeway own4", "~ set own4: 1 elements more, 0 less"},
		{"an element deleted", "delete element inet ropeway fabric4 { 10.2.0.0/16 }", "~ set fabric4: 1 elements more, 0 less"},
		{"an element added", "add element inet ropeway own4 { 10.77.0.1-10.77.0.9 }", "~ set own4: 0 elements more, 1 less"},
		{"everything added", "delete element inet ropeway own4 { 10.1.0.0/16 }\nadd element inet ropeway own4 { 0.0.0.0/0 }", "~ set own4: 1 elements more, 1 less"},
		{"the last address added", "add element inet ropeway own6 { ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff }", "~ set own6: 0 elements more, 1 less"},
		{"an element halved", "delete element inet ropeway own4 { 10.1.0.0/16 }\nadd element inet ropeway own4 { 10.1.0.0/17 }", "~ set own4: 1 elements more, 1 less"},
		{"a device added", "add element inet ropeway rw_devices { \"eth0\" }", "~ set rw_devices: 0 elements more, 1 less"},
		{"a device deleted", "delete element inet ropeway rw_devices { \"rw0\" }", "~ set rw_devices: 1 elements more, 0 less"},
		{"a chain added", "add chain inet ropeway mine { type filter hook forward priority -5; }\nadd rule inet ropeway mine drop", "- chain mine"},
		{"a chain added and led to", "add chain inet ropeway mine\nadd rule inet ropeway mine accept\ninsert rule inet ropeway forward jump mine", "- chain mine"},
		{"a set added", "add set inet ropeway mine { type mark; }", "- set mine"},
		{"a set added and used", "add set inet ropeway mine { type ipv4_addr; }\ninsert rule inet ropeway input ip saddr @mine accept", "- set mine"},
		{"a map added", "add map inet ropeway mine { type ipv4_addr : verdict; }", "- set mine"},
		{"a counter added", "add counter inet ropeway mine", "- counter mine"},
		{"a quota added", "add quota inet ropeway mine over 5 mbytes", "~ table inet ropeway: made again"},
		{"the policy changed", "add chain inet ropeway forward { policy drop; }", "~ table inet ropeway: made again"},
		{"the table switched off", "add table inet ropeway { flags dormant; }", "~ table inet ropeway: made again"},
		{"the table made anew, empty", "delete table inet ropeway\nadd table inet ropeway", "+ counter dropped_guard"},
		{"a chain that hangs elsewhere", "delete table inet ropeway\nadd table inet ropeway\nadd chain inet ropeway forward { type filter hook forward priority 7; }", "~ table inet ropeway: made again"},
		{"a set of another kind", "delete table inet ropeway\nadd table inet ropeway\nadd set inet ropeway own4 { type ipv6_addr; flags interval; }", "~ table inet ropeway: made again"},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			w := newWorld(t)
			g := driftPlan(t)
			nftText(t, []byte(otherTable))
			w.apply(g)
			want := list(t)
			for _, command := range strings.Split(tt.spoil, "\n") {
				nftText(t, []byte(withHandle(t, command)))
			}
			have, err := w.fw.Observe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if lines := Diff(have, Compile(g)).Lines(); !strings.Contains(strings.Join(lines, "\n"), tt.line) {
				t.Errorf("the change says %q, and not %q", lines, tt.line)
			}
			nftText(t, []byte("add table inet other\n")) // nothing where it is there still
			w.apply(g)
			if diff := cmp.Diff(sorted(want), sorted(list(t))); diff != "" {
				t.Errorf("after mending (-want +got):\n%s", diff)
			}
			if change := w.apply(g); !change.Empty() {
				t.Errorf("mending twice changes %q", change.Lines())
			}
			if tt.spoil != "flush ruleset" {
				if got := nftRun(t, "list table inet other"); got != otherTable {
					t.Errorf("another table became\n%s", got)
				}
			}
		})
	}
}

var handle = regexp.MustCompile(`^(\w+ rule inet ropeway (\w+)) HANDLE (ip6? saddr|counter name "\w+")`)

// withHandle puts the handle of a rule where HANDLE stands.
func withHandle(t *testing.T, command string) string {
	t.Helper()
	m := handle.FindStringSubmatch(command)
	if m == nil {
		return command + "\n"
	}
	for line := range strings.Lines(nftRun(t, "-a list chain inet ropeway "+m[2])) {
		if before, number, ok := strings.Cut(line, " # handle "); ok && strings.HasPrefix(strings.TrimSpace(before), m[3]) {
			rest := strings.TrimPrefix(command, m[0])
			if rest == " HERE" { // the same rule
				rest = strings.TrimSpace(strings.Split(before, "comment")[0])
			}
			return m[1] + " handle " + strings.TrimSpace(number) + " " + rest + "\n"
		}
	}
	t.Fatalf("no rule for %s", command)
	return ""
}

// sorted puts the parts of a listing, each with its lines in order, into an order that does not depend on when they were made.
func sorted(listing string) []string {
	parts := strings.Split(listing, "\n\n")
	for i := range parts {
		parts[i] = strings.TrimRight(strings.TrimPrefix(parts[i], "table inet ropeway {\n"), "}\n")
	}
	return slicesSorted(parts)
}

// TestObserveAsksNothing checks that observing costs no request while nobody touches the table, whatever else goes on.
func TestObserveAsksNothing(t *testing.T) {
	w := newWorld(t)
	g := driftPlan(t)
	w.apply(g)
	before := w.fw.socket.seq
	for range 3 {
		nftText(t, []byte("table inet other {\n set s {\n type ipv4_addr\n elements = { 10.9.9.9 }\n }\n}\ndelete table inet other\n"))
		if change := w.apply(g); !change.Empty() {
			t.Errorf("changed %q", change.Lines())
		}
		if _, err := w.fw.Observe(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if w.fw.socket.seq != before {
		t.Errorf("%d requests to the kernel, want none", w.fw.socket.seq-before)
	}
}

// TestNewsLost lets more news come than the watch can hold, and sees that it is read again rather than believed.
func TestNewsLost(t *testing.T) {
	w := newWorld(t)
	g := driftPlan(t)
	w.apply(g)
	if err := setReceiveBuffer(w.fw.watch.socket, 4096); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		nftText(t, []byte("table inet other {\n set s {\n type ipv4_addr\n elements = { 10.9.9.9 }\n }\n}\ndelete table inet other\n"))
	}
	nftRun(t, "flush chain inet ropeway outbound")
	if change := w.apply(g); change.Empty() {
		t.Error("a chain that was emptied went unnoticed")
	}
}

// TestStaleState lets the client believe what is no longer true: the kernel refuses the transaction as a whole, and the client
// looks again.
func TestStaleState(t *testing.T) {
	w := newWorld(t)
	g := driftPlan(t)
	w.apply(g)
	want := list(t)
	lie := w.fw.state.with(map[string]*set{"own4": newSet("own4", ipv4, prefixSpans(pfx("10.8.0.0/16"), ipv4))}, [32]byte{})
	w.fw.state = lie
	if change := w.apply(g); !change.Empty() {
		t.Errorf("the second look found %q to change", change.Lines())
	}
	if diff := cmp.Diff(want, list(t)); diff != "" {
		t.Errorf("the table changed (-want +got):\n%s", diff)
	}
}

// TestRefused checks that a plan that is not valid changes nothing.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	w.apply(driftPlan(t))
	want := list(t)
	bad := driftPlan(t)
	bad.Devices[0].Name = "eth0"
	if _, err := w.fw.Apply(t.Context(), bad); err == nil {
		t.Error("applied a plan whose device is not ours")
	}
	if diff := cmp.Diff(want, list(t)); diff != "" {
		t.Errorf("the table changed (-want +got):\n%s", diff)
	}
}
