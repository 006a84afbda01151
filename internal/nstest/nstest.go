// Package nstest gives a test real network namespaces that it makes and removes itself.
//
// A namespace has no name and no file: it lives as long as a thread or a process is in it, so that nothing can be left behind. The
// calling goroutine stays on its thread, in the namespace, until the test ends; goroutines that it starts, and so its subtests, do not:
// they call In.
package nstest

import (
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Enter moves the test into a new network namespace with the loopback interface up, and back when it ends. It skips the test
// where it may not.
func Enter(tb testing.TB) netns.NsHandle {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("needs root to make a network namespace")
	}
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		tb.Fatalf("read this thread's network namespace: %v", err)
	}
	inside := New(tb)
	tb.Cleanup(func() {
		if err := netns.Set(before); err != nil {
			tb.Errorf("go back to the first network namespace: %v", err) // the thread stays locked and dies with its goroutine
			return
		}
		runtime.UnlockOSThread()
		_ = before.Close()
	})
	Set(tb, inside)
	return inside
}

// New makes a namespace with the loopback interface up and stays where it is. The thread must be locked (Enter does it).
func New(tb testing.TB) netns.NsHandle {
	tb.Helper()
	here, err := netns.Get()
	if err != nil {
		tb.Fatalf("read this thread's network namespace: %v", err)
	}
	made, err := netns.New()
	if err != nil {
		tb.Fatalf("make a network namespace: %v", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		tb.Fatalf("set the loopback interface up: %v", err)
	}
	Set(tb, here)
	_ = here.Close()
	tb.Cleanup(func() { _ = made.Close() })
	return made
}

// Set moves the calling thread into a namespace.
func Set(tb testing.TB, ns netns.NsHandle) {
	tb.Helper()
	if err := netns.Set(ns); err != nil {
		tb.Fatalf("enter a network namespace: %v", err)
	}
}

// In calls f in another namespace and comes back. It may be called from a subtest, whose goroutine is in no namespace of ours.
func In(tb testing.TB, ns netns.NsHandle, f func()) {
	tb.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := netns.Get()
	if err != nil {
		tb.Fatalf("read this thread's network namespace: %v", err)
	}
	defer func() { _ = here.Close() }()
	Set(tb, ns)
	defer Set(tb, here)
	f()
}

// Veth joins two namespaces by a pair of interfaces, with one address in CIDR notation each and both up.
func Veth(tb testing.TB, a netns.NsHandle, addrA string, b netns.NsHandle, addrB string) {
	tb.Helper()
	In(tb, a, func() {
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "veth0", MTU: 1500}, PeerName: "veth1"}
		if err := netlink.LinkAdd(pair); err != nil {
			tb.Fatalf("make a veth pair: %v", err)
		}
		other, err := netlink.LinkByName("veth1")
		if err == nil {
			err = netlink.LinkSetNsFd(other, int(b))
		}
		if err != nil {
			tb.Fatalf("move one end of the veth pair: %v", err)
		}
		address(tb, "veth0", addrA)
	})
	In(tb, b, func() { address(tb, "veth1", addrB) })
}

func address(tb testing.TB, name, cidr string) {
	tb.Helper()
	link, err := netlink.LinkByName(name)
	if err == nil {
		var addr *netlink.Addr
		if addr, err = netlink.ParseAddr(cidr); err == nil {
			addr.Flags = 0x02 // IFA_F_NODAD: usable at once
			err = netlink.AddrAdd(link, addr)
		}
	}
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		tb.Fatalf("give %s the address %s: %v", name, cidr, err)
	}
}
