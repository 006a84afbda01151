package frr

import (
	"bufio"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// What FRR 8.4.4 said, without what is not read.
const (
	saidNeighbors = `{
"10.254.1.1":{"remoteAs":65002,"localAs":65001,"nbrDesc":"use1-a","hostname":"vm","bgpState":"Established","bgpTimerUpMsec":4000,"hostLocal":"10.254.1.0",
"addressFamilyInfo":{"ipv4Unicast":{"acceptedPrefixCounter":12,"sentPrefixCounter":3}},"connectionsEstablished":1,"connectionsDropped":2,"lastResetDueTo":"Peer closed the session"},
"fd00:254::1":{"remoteAs":4200000000,"nbrDesc":"use1-b","bgpState":"Active","addressFamilyInfo":{"ipv6Unicast":{}},"connectionsDropped":0,
"lastResetTimerMsecs":7000,"lastResetDueTo":"No AFI/SAFI activated for peer"},
"10.254.1.3":{"remoteAs":65003,"nbrDesc":"use1-c","bgpState":"Clearing"},
"ipv4Unicast":{"peerCount":3}
}`
	saidBFD = `[{"multihop":false,"peer":"10.254.1.1","local":"10.254.1.0","vrf":"default","interface":"veth0","status":"up","uptime":4},
{"peer":"fd00:254::1","status":"shutdown"},{"peer":"nobody","status":"down"}]`
	saidRoutes = `{"vrfId":0,"vrfName":"default","tableVersion":3,"routerId":"10.255.0.1","defaultLocPrf":100,"localAS":65001,"routes":{
"10.1.0.0/16":[{"prefix":"10.1.0.0/16"},{"aspath":{"string":"Local","segments":[],"length":0},"origin":"IGP","metric":0,"weight":32768,"valid":true,"sourced":true,"local":true,
"bestpath":{"overall":true,"selectionReason":"First path received"},"nexthops":[{"ip":"0.0.0.0","afi":"ipv4","used":true}],"peer":{"peerId":"0.0.0.0","routerId":"10.255.0.1"}}],
"10.2.0.0/16":[{"aspath":{"string":"65003 65002","length":2},"origin":"IGP","metric":40,"locPrf":200,"valid":true,"multipath":true,
"community":{"string":"64512:1 no-export","list":["64512:1","noExport"]},"largeCommunity":{"string":"114:1:7 114:0:1 115:1:9 114:1:10","list":[]},
"nexthops":[{"ip":"10.254.1.1","afi":"ipv4","used":true},{"ip":"fe80::1","scope":"link-local"}],"peer":{"peerId":"10.254.1.1","routerId":"10.255.0.2","type":"external"}}]}}`
)

func TestParse(t *testing.T) {
	neighbors, err := parseNeighbors([]byte(saidNeighbors), []byte(saidBFD))
	want := "[{Name:use1-a Address:10.254.1.1 ASN:65002 State:Established Up:true Since:4s Received:12 Sent:3 Flaps:2 BFD:up LastError:}" +
		" {Name:use1-b Address:fd00:254::1 ASN:4200000000 State:Active Up:false Since:7s Received:0 Sent:0 Flaps:0 BFD:admin-down LastError:No AFI/SAFI activated for peer}" +
		" {Name:use1-c Address:10.254.1.3 ASN:65003 State:Idle Up:false Since:0s Received:0 Sent:0 Flaps:0 BFD: LastError:}]"
	if got := fmt.Sprintf("%+v", neighbors); err != nil || got != want {
		t.Errorf("neighbours\n%s, %v, want\n%s", got, err, want)
	}
	routes, err := parseRoutes([]byte(saidRoutes), map[netip.Addr]session{netip.MustParseAddr("10.254.1.1"): {"use1-a", "rwa"}})
	want = "[{Prefix:10.1.0.0/16 Neighbor: NextHop:invalid IP Device: Path:[] LocalPreference:100 Metric:0 Tags:[] Communities:[] Best:true}" +
		" {Prefix:10.2.0.0/16 Neighbor:use1-a NextHop:10.254.1.1 Device:rwa Path:[65003 65002] LocalPreference:200 Metric:40 Tags:[7 10] Communities:[64512:1 65535:65281 115:1:9] Best:true}]"
	if got := fmt.Sprintf("%+v", routes); err != nil || got != want {
		t.Errorf("routes\n%s, %v, want\n%s", got, err, want)
	}
	for said, want := range map[string]string{"FRRouting 8.4.4 (vm) on Linux(6.1).\nCopyright": "FRR 8.4.4", "": "FRR", "% Unknown": "FRR"} {
		if got := parseVersion(said); got != want {
			t.Errorf("version %q, want %q", got, want)
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct{ said, want string }{
		{"{}\x00\x00\x00\x00", "{}"},
		{"\x00\x00\x00\x01", ""},
		{"% Unknown command.\nmore\x00\x00\x00\x02", "it answers with status 2: % Unknown command."},
		{"% Bad password x\x00\x00\x00\x02", "it answers with status 2: a line about a password"},
		{"a\x00b\x00\x00", "the answer does not end as one does"},
		{"cut", "unexpected EOF"},
		{"cut\x00\x00", "unexpected EOF"},
		{"", "unexpected EOF"},
	} {
		answer, err := readAnswer(bufio.NewReader(strings.NewReader(c.said)))
		if err == nil && string(answer) != c.want || err != nil && err.Error() != c.want {
			t.Errorf("%q: %q, %v; want %s", c.said, answer, err, c.want)
		}
	}
}

// TestHear: what is refused is said when all has been heard, the first of it.
func TestHear(t *testing.T) {
	const fine, warned, refused = "\x00\x00\x00\x00", "% Can't find it\n\x00\x00\x00\x01", "bgp is not there\x00\x00\x00\x02"
	for _, c := range []struct{ said, want string }{
		{fine + fine + fine, ""},
		{"a remark\n" + fine + fine + fine, ""},
		{fine + warned + refused, "a line was refused: % Can't find it"},
		{refused + warned + fine, "a line was refused: it answers with status 2: bgp is not there"},
		{refused + fine, "unexpected EOF"},
	} {
		r := bufio.NewReader(strings.NewReader(c.said))
		got := ""
		if err := hear(r, 3); err != nil {
			got = err.Error()
		}
		if got != c.want || r.Buffered() > 0 {
			t.Errorf("%q: %q, %d bytes left, want %q", c.said, got, r.Buffered(), c.want)
		}
	}
}

// FuzzParse reads whatever a daemon may say: it ends, and what it finds can be shown.
func FuzzParse(f *testing.F) {
	for _, said := range []string{saidNeighbors, saidBFD, saidRoutes, "{}", "[]", "null", `{"routes":{"10.0.0.0/8":null}}`, `{"10.0.0.1":null}`} {
		f.Add(said, said)
	}
	f.Fuzz(func(t *testing.T, said, watched string) {
		for _, bfd := range []string{watched, "[]"} {
			neighbors, _ := parseNeighbors([]byte(said), []byte(bfd))
			for _, n := range neighbors {
				if n.Since < 0 || n.Received < 0 || n.Sent < 0 || n.Flaps < 0 || n.State == "" || n.Up != (n.State == "Established") {
					t.Errorf("%+v", n)
				}
			}
		}
		routes, _ := parseRoutes([]byte(said), nil)
		for _, r := range routes {
			if !r.Prefix.IsValid() {
				t.Errorf("%+v", r)
			}
		}
		_, _ = isEstablished([]byte(said), "10.0.0.1")
		_, _ = readAnswer(bufio.NewReader(strings.NewReader(said)))
		_ = hear(bufio.NewReader(strings.NewReader(said)), 3)
	})
}
