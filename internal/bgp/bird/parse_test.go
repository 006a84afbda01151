package bird

import (
	"bufio"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// What BIRD 2.0.12 said, addresses and names apart.
const (
	saidStatus = `1000-BIRD 2.0.12
1011-Router ID is 10.255.0.1
 Hostname is vm
 Current server time is 2026-11-29 06:34:19.104
 Last reboot on 2026-11-29 06:34:10.835
 Last reconfiguration on 2026-11-29 06:34:10.835
0013 Daemon is up and running
`
	saidProtocols = `2002-Name       Proto      Table      State  Since         Info
1002-kernel4    Kernel     master4    up     2026-11-29 06:34:10.835  
1006-  Channel ipv4
     State:          UP
     Routes:         0 imported, 7 exported, 0 preferred
 
1002-n4_10_9_0_1 BGP        ---        up     2026-11-29 06:34:14.604  Established   
1006-  Description:    use1-a
   BGP state:          Established
     Neighbor address: 10.9.0.1%rw1
     Neighbor AS:      65002
     Hold timer:       7.069/9
   Channel ipv4
     State:          UP
     Import limit:   100
       Action:       restart
     Routes:         12 imported, 3 exported, 1 preferred
     Route change stats:     received   rejected   filtered    ignored   accepted
       Import updates:              1          0          0          0          1
 
1002-n6_fd00_1 BGP        ---        start  2026-11-29 06:34:10.835  Active        Socket: Connection refused
1006-  Description:    use1-b
   BGP state:          Active
     Neighbor address: fd00::1%rw1
     Neighbor AS:      4200000000
     Last error:       Socket: Connection refused
   Channel ipv6
     State:          DOWN
 
1002-n4_10_9_0_3 BGP        ---        down   2026-11-29 06:34:10.835  
1006-  Description:    use1-c
   BGP state:          Down
     Neighbor address: 10.9.0.3%rw1
     Neighbor AS:      65003
 
0000 
`
	saidBFD = `1020-bfd1:
 IP address                Interface  State      Since         Interval  Timeout
 10.9.0.1                  v1         Up         2026-11-29 06:36:57.118    0.300    0.900
 fd00::1                   v1         AdminDown  2026-11-29 06:36:57.118    0.300    0.900
0000 
`
	saidRoutes = "1007-Table master4:\n" +
		" 10.1.0.0/16          unreachable [own4 06:34:10.835] * (200)\n" +
		"1008-\tType: static univ\n" +
		"1007-10.2.0.0/16          unicast [n4_10_9_0_1 06:37:00.611] * (100) [AS65002i]\n" +
		" \tvia 10.9.0.1 on rw1\n" +
		"1008-\tType: BGP univ\n" +
		"1012-\tBGP.origin: IGP\n" +
		" \tBGP.as_path: 65003 {65002 65009}\n" +
		" \tBGP.next_hop: 10.9.0.1 fe80::1\n" +
		" \tBGP.med: 40\n" +
		" \tBGP.local_pref: 200\n" +
		" \tBGP.community: (64512,1) (65535,65281)\n" +
		" \tBGP.large_community: (114, 1, 7) (114, 2, 8) (115, 1, 9) (114, 1, 10)\n" +
		" \tfrom_as: 65002\n" +
		"1007-                     unicast [n4_10_9_0_3 06:37:00.611 from 10.9.0.3] (100) [i]\n" +
		" \tvia 10.9.0.3 on rw3 onlink\n" +
		"1008-\tType: BGP univ\n" +
		"1012-\tBGP.as_path: \n" +
		" \tBGP.next_hop: 10.9.0.3\n" +
		"0000 \n"
	saidMerged = "1007-Table master4:\n" +
		" 10.2.0.0/16          unicast [n4_10_9_0_1 06:37:00.611] * (100) [AS65002i]\n" +
		" \tvia 10.9.0.1 on rw1 weight 1\n" +
		" \tvia 10.9.0.3 on rw3 weight 1\n" +
		"0000 \n"
)

func reply(t testing.TB, text string) []line {
	t.Helper()
	lines, err := readReply(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestParse(t *testing.T) {
	version, now := parseStatus(reply(t, saidStatus))
	if version != "BIRD 2.0.12" || !now.Equal(time.Date(2026, 11, 29, 6, 34, 19, 104e6, time.UTC)) {
		t.Errorf("version %q, time %s", version, now)
	}
	sessions := parseProtocols(reply(t, saidProtocols), now)
	got := fmt.Sprintf("%+v", neighbors(sessions, parseBFD(reply(t, saidBFD))))
	want := "[{Name:use1-a Address:10.9.0.1 ASN:65002 State:Established Up:true Since:4.5s Received:12 Sent:3 Flaps:0 BFD:up LastError:}" +
		" {Name:use1-b Address:fd00::1 ASN:4200000000 State:Active Up:false Since:8.269s Received:0 Sent:0 Flaps:0 BFD:admin-down LastError:Socket: Connection refused}" +
		" {Name:use1-c Address:10.9.0.3 ASN:65003 State:Idle Up:false Since:8.269s Received:0 Sent:0 Flaps:0 BFD: LastError:}]"
	if got != want {
		t.Errorf("neighbours\n%s, want\n%s", got, want)
	}
	known, carried := parseRoutes(reply(t, saidRoutes)), parseRoutes(reply(t, saidMerged))
	for _, c := range []struct {
		carried []route
		best    bool // the second way
	}{{carried, true}, {carried[:0], false}} {
		got = fmt.Sprintf("%+v", routes(sessions, known, c.carried))
		want = "[{Prefix:10.1.0.0/16 Neighbor: NextHop:invalid IP Device: Path:[] LocalPreference:0 Metric:0 Tags:[] Communities:[] Best:true}" +
			fmt.Sprintf(" {Prefix:10.2.0.0/16 Neighbor:use1-a NextHop:10.9.0.1 Device:rw1 Path:[65003 65002 65009] LocalPreference:200 Metric:40 Tags:[7 10] Communities:[64512:1 65535:65281 115:1:9] Best:%v}", c.best) +
			fmt.Sprintf(" {Prefix:10.2.0.0/16 Neighbor:use1-c NextHop:10.9.0.3 Device:rw3 Path:[] LocalPreference:0 Metric:0 Tags:[] Communities:[] Best:%v}]", c.best)
		if got != want {
			t.Errorf("routes\n%s, want\n%s", got, want)
		}
	}
}

func TestReplies(t *testing.T) {
	for _, c := range []struct{ said, want string }{
		{"0000 \n", "[{0 }]"},
		{"+unasked\n1000-a\n b\n+more\n0013 c\n1234 d\n", "[{1000 a} {1000 b} {13 c}]"},
		{"8002 x.conf: syntax error\n", `it says "x.conf: syntax error" (8002)`},
		{"0002-Reading\n9001 no\n", `it says "no" (9001)`},
		{"hello\n", `want a line with a code, not "hello"`},
		{"12ab-x\n", `want a line with a code, not "12ab-x"`},
		{"1000-cut", "read its reply: EOF"},
		{"", "read its reply: EOF"},
		{strings.Repeat("x", 1<<20), "read its reply: bufio: buffer full"},
	} {
		lines, err := readReply(bufio.NewReader(strings.NewReader(c.said)))
		if got := fmt.Sprint(lines); err == nil && got != c.want || err != nil && err.Error() != c.want {
			t.Errorf("%.40q: %s, %v; want %s", c.said, got, err, c.want)
		}
	}
}

// FuzzParse reads whatever a daemon may say: it ends, and what it finds can be shown.
func FuzzParse(f *testing.F) {
	for _, said := range []string{saidStatus, saidProtocols, saidBFD, saidRoutes, saidMerged, "1007-\n", "1002-a BGP\n0000 \n", "1012- x\n0000 \n", "0000 \n"} {
		f.Add(said)
	}
	f.Fuzz(func(t *testing.T, said string) {
		lines, err := readReply(bufio.NewReader(strings.NewReader(said)))
		if err != nil {
			return
		}
		_, now := parseStatus(lines)
		sessions := parseProtocols(lines, now)
		for _, n := range neighbors(sessions, parseBFD(lines)) {
			if n.Since < 0 || n.Received < 0 || n.Sent < 0 || n.State == "" || n.Up != (n.State == "Established") {
				t.Errorf("%+v", n)
			}
		}
		known := parseRoutes(lines)
		for _, r := range routes(sessions, known, known) {
			if r.Prefix == (netip.Prefix{}) {
				t.Errorf("%+v", r)
			}
		}
	})
}
