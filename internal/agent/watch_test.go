package agent

import (
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"ropeway/internal/route"
)

func TestKernelMessages(t *testing.T) {
	header := func(kind netlink.HeaderType) netlink.Header { return netlink.Header{Type: kind} }
	attr := func(skip int, kind uint16, value string) []byte {
		ae := netlink.NewAttributeEncoder()
		ae.Uint32(7, 7) // another one first
		ae.String(kind, value)
		b, err := ae.Encode()
		must(t, err)
		return append(make([]byte, skip), b...)
	}
	ours := make([]byte, 12)
	ours[5] = route.Protocol
	hop := make([]byte, 8)
	hop[2] = route.Protocol
	for _, c := range []struct {
		name string
		m    netlink.Message
		want bool
	}{
		{"our route", netlink.Message{Header: header(unix.RTM_DELROUTE), Data: ours}, true},
		{"somebody's route", netlink.Message{Header: header(unix.RTM_DELROUTE), Data: make([]byte, 12)}, false},
		{"our nexthop", netlink.Message{Header: header(unix.RTM_DELNEXTHOP), Data: hop}, true},
		{"our interface", netlink.Message{Header: header(unix.RTM_DELLINK), Data: attr(unix.SizeofIfInfomsg, unix.IFLA_IFNAME, "rw0")}, true},
		{"somebody's interface", netlink.Message{Header: header(unix.RTM_NEWLINK), Data: attr(unix.SizeofIfInfomsg, unix.IFLA_IFNAME, "eth0")}, false},
		{"an address", netlink.Message{Header: header(unix.RTM_DELADDR)}, true},
		{"cut short", netlink.Message{Header: header(unix.RTM_DELROUTE), Data: []byte{1}}, false},
		{"neighbour", netlink.Message{Header: header(unix.RTM_NEWNEIGH), Data: ours}, false},
	} {
		if got := ourRoutes(c.m); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if !ourRules(netlink.Message{Data: attr(4, 1, "ropeway")}) || ourRules(netlink.Message{Data: attr(4, 1, "filter")}) || ourRules(netlink.Message{}) {
		t.Error("nftables messages are told apart by their table")
	}
}

func FuzzAttribute(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 12, 0, 1, 0, 'r', 'o', 'p', 'e'}, uint16(1))
	f.Add([]byte{0, 0, 0, 0, 255, 255, 1, 0}, uint16(1))
	f.Fuzz(func(t *testing.T, data []byte, kind uint16) {
		if got := attribute(data, 4, kind); len(got) > len(data) {
			t.Fatal("longer than the message")
		}
	})
}
