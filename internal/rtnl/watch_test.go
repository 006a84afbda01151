package rtnl_test

import (
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ropeway/internal/nstest"
	"ropeway/internal/rtnl"
)

func TestWatch(t *testing.T) {
	nstest.Enter(t)
	w, err := rtnl.OpenWatch(unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	w.Changed() // whatever the making of the namespace still tells
	address, err := netlink.ParseAddr("192.0.2.1/32")
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func() error{
		"an MTU":     func() error { return netlink.LinkSetMTU(lo, lo.Attrs().MTU-1) },
		"an address": func() error { return netlink.AddrAdd(lo, address) },
		"down":       func() error { return netlink.LinkSetDown(lo) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if !w.Changed() {
			t.Errorf("%s: not told", what)
		}
		if w.Changed() {
			t.Errorf("%s: told twice", what)
		}
	}
	for i := range 20_000 { // more than there is room for
		if err := netlink.LinkSetMTU(lo, 1400+i%2); err != nil {
			t.Fatal(err)
		}
	}
	if !w.Changed() || w.Changed() {
		t.Error("a flood is no change, or one for ever")
	}
}
