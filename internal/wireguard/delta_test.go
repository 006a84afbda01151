package wireguard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// TestManyPlansOneAfterTheOther applies random plans, each a few peers away from the one before, through deltas, and holds the whole device against
// each. Now and then somebody else configures the device between two, and another client takes over.
func TestManyPlansOneAfterTheOther(t *testing.T) {
	e := newEnd(t, nstest.Enter(t), 1)
	seed := time.Now().UnixNano()
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	all := manyPeers(40)
	spare := manyPeers(80)
	e.device.Peers = slices.Clone(all)
	e.apply()
	deltas := 0
	for round := range 150 {
		before := e.device.Peers
		e.device.Peers = mutate(r, before, spare)
		if check(&e.device, e.private.Public()) != nil {
			e.device.Peers = before
			continue
		}
		switch r.IntN(10) {
		case 0:
			e.set(section{PublicKey: spare[79].PublicKey, AllowedIPs: all[r.IntN(40)].AllowedIPs})
		case 1:
			e.client = New(e.opts)
		default:
			if s := e.client.known["rw0"]; s != nil && s.count != 0 {
				deltas++
			}
		}
		e.apply()
		if left := Diff([]plan.Device{e.device}, []Device{e.observe()}); len(left) > 0 {
			t.Fatalf("seed %d, round %d: left to do: %v", seed, round, left)
		}
		if again := e.apply(); len(again) > 0 {
			t.Fatalf("seed %d, round %d: a second Apply changed %v", seed, round, again)
		}
	}
	if deltas < 50 && tested() == Userspace {
		t.Errorf("only %d rounds went by deltas", deltas)
	}
}

// mutate changes some peers of a list: new keys, prefixes that pass on or go, keepalives, peers that come and go.
func mutate(r *rand.Rand, before, spare []*plan.Peer) []*plan.Peer {
	out := slices.Clone(before)
	for range 1 + r.IntN(4) {
		i := r.IntN(len(out))
		p := *out[i]
		switch r.IntN(6) {
		case 0:
			p.Keepalive = r.IntN(30)
		case 1:
			p.PublicKey = spare[r.IntN(79)].PublicKey
		case 2:
			p.AllowedIPs = p.AllowedIPs[:len(p.AllowedIPs)/2]
		case 3: // one prefix goes to another peer
			j := r.IntN(len(out))
			if len(p.AllowedIPs) > 0 && j != i {
				q := *out[j]
				q.AllowedIPs = append(slices.Clone(q.AllowedIPs), p.AllowedIPs[0])
				p.AllowedIPs = p.AllowedIPs[1:]
				out[j] = &q
			}
		case 4:
			if len(out) > 5 {
				out = slices.Delete(out, i, i+1)
			}
			continue
		case 5:
			n := *spare[r.IntN(79)]
			n.Gateway = "x" + n.Gateway
			if !slices.ContainsFunc(out, func(p *plan.Peer) bool { return p.Gateway == n.Gateway }) {
				n.AllowedIPs = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(r.IntN(256)), 0}), 24)}
				out = append(out, &n)
			}
			slices.SortFunc(out, func(a, b *plan.Peer) int { return strings.Compare(a.Gateway, b.Gateway) })
			continue
		}
		out[i] = &p
	}
	return out
}

// TestCutShortAnywhere stops between any two steps of making a device, as a killed agent does, and has another client go on.
func TestCutShortAnywhere(t *testing.T) {
	a, _ := pair(t)
	steps := 1
	for stop := 0; stop < steps; stop++ {
		nstest.In(t, a.ns, func() {
			j := &job{want: a.device, private: a.private, known: a.client.settledOf("rw0")}
			j.want.PublicKey = a.private.Public()
			if err := a.client.create(context.Background(), j); err != nil {
				t.Fatal(err)
			}
			s, err := j.control.read()
			if err != nil {
				t.Fatal(err)
			}
			found := a.client.combine(s, tested(), j.link)
			changes := Diff([]plan.Device{j.want}, []Device{found})
			steps = len(changes)
			if _, err := j.carryOut(context.Background(), changes[:stop], &found); err != nil {
				t.Fatal(err)
			}
			_ = j.control.close()
		})
		a.client = New(a.opts)
		if changes := a.apply(); len(changes) != steps-stop {
			t.Errorf("after %d of %d steps: %v", stop, steps, lines(changes))
		}
		if left := Diff([]plan.Device{a.device}, []Device{a.observe()}); len(left) > 0 {
			t.Errorf("after %d of %d steps: left to do: %v", stop, steps, left)
		}
		nstest.In(t, a.ns, func() {
			if _, err := a.client.Remove(context.Background()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestRoamedEndpointStays changes a peer whose endpoint has roamed: its session goes on where it is.
func TestRoamedEndpointStays(t *testing.T) {
	for _, adopted := range []bool{false, true} {
		a, b := pair(t)
		a.device.Peers[0].Keepalive = 1
		a.apply()
		b.apply()
		a.route("100.64.0.2/32")
		b.route("100.64.0.1/32")
		b.listen(tunnelAddr(2))
		conn := a.dial(tunnelAddr(2))
		if _, ok := reaches(conn, 5*time.Second); !ok {
			t.Fatal("no packet came back")
		}
		b.device.ListenPort = 4711 // as if a NAT had changed its mind
		b.apply()
		moved := *b.device.Peers[0]
		moved.Keepalive = 1
		b.device.Peers = []*plan.Peer{&moved}
		b.apply()
		roamed := netip.MustParseAddrPort("192.0.2.2:4711")
		for range 300 {
			if a.observe().Peers[0].Endpoint == roamed {
				break
			}
			_, _ = reaches(conn, 10*time.Millisecond)
		}
		if adopted {
			a.client = New(a.opts)
			a.apply()
		}
		changed := *a.device.Peers[0]
		changed.AllowedIPs = append(slices.Clone(changed.AllowedIPs), netip.MustParsePrefix("10.0.0.0/8"))
		a.device.Peers = []*plan.Peer{&changed}
		if got := lines(a.apply()); got != "rw0: update peer b +10.0.0.0/8" {
			t.Errorf("adopted %v: changes: %s", adopted, got)
		}
		if p := a.observe().Peers[0]; p.Endpoint != roamed {
			t.Errorf("adopted %v: the endpoint is %s, want %s", adopted, p.Endpoint, roamed)
		}
	}
}

// TestNames has an endpoint by name whose first address is dead, later none at all.
func TestNames(t *testing.T) {
	a, b := pair(t)
	var fails atomic.Bool
	var asked atomic.Int32
	a.opts.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		asked.Add(1)
		if fails.Load() || host != "b.example.net" {
			return nil, errors.New("no such host")
		}
		return []netip.Addr{netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("::ffff:192.0.2.2")}, nil
	}
	a.client = New(a.opts)
	a.device.Peers[0].Endpoint.Host = "b.example.net"
	b.device.Peers[0].Endpoint.Host = "" // it waits
	a.apply()
	b.apply()
	a.route("100.64.0.2/32")
	b.route("100.64.0.1/32")
	b.listen(tunnelAddr(2))
	if got := a.observe().Peers[0].Endpoint.String(); got != "192.0.2.77:51820" {
		t.Errorf("endpoint %s, want the first address", got)
	}
	a.apply()
	if n := asked.Load(); n != 1 {
		t.Errorf("the name was looked up %d times, want once", n)
	}
	refresh := func() []Change {
		var changes []Change
		nstest.In(t, a.ns, func() {
			var err error
			if changes, err = a.client.Refresh(context.Background(), []plan.Device{a.device}); err != nil {
				t.Errorf("Refresh: %v", err)
			}
		})
		return changes
	}
	if got := lines(refresh()); got != "rw0: update peer b endpoint 192.0.2.2:51820" {
		t.Errorf("Refresh: %s", got)
	}
	if _, ok := reaches(a.dial(tunnelAddr(2)), 8*time.Second); !ok {
		t.Error("no packet came back")
	}
	if got := refresh(); len(got) > 0 {
		t.Errorf("Refresh of a session that works: %v", got)
	}
	if got := a.apply(); len(got) > 0 {
		t.Errorf("Apply after Refresh: %v", got)
	}

	fails.Store(true)
	a.client = New(a.opts)
	changes, err := a.try()
	if err == nil || !strings.Contains(err.Error(), "peer b: look up its endpoint b.example.net") {
		t.Errorf("error %v, want one about the name", err)
	}
	if len(changes) > 0 || a.observe().Peers[0].Endpoint.String() != "192.0.2.2:51820" {
		t.Errorf("a name that cannot be resolved changed something: %v", changes)
	}
}

// TestProcessThatHangs stops the process of a device with SIGSTOP: an error within bounds, and no second process.
func TestProcessThatHangs(t *testing.T) {
	userspaceOnly(t)
	a, _ := pair(t)
	a.apply()
	pid := a.pid()
	halt(t, pid)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	nstest.In(t, a.ns, func() {
		if changes, err := a.client.Apply(ctx, []plan.Device{a.device}, a.keys); err == nil || len(changes) > 0 {
			t.Errorf("Apply: %v %v", changes, err)
		}
	})
	_ = unix.Kill(pid, syscall.SIGCONT)
	if changes := a.apply(); len(changes) > 0 || a.pid() != pid {
		t.Errorf("after it went on: %v", changes)
	}
}

// TestRemoveOfAProcessThatHangs removes it all the same.
func TestRemoveOfAProcessThatHangs(t *testing.T) {
	userspaceOnly(t)
	a, _ := pair(t)
	a.apply()
	pid := a.pid()
	halt(t, pid)
	nstest.In(t, a.ns, func() {
		if _, err := a.client.Remove(context.Background()); err != nil {
			t.Errorf("Remove: %v", err)
		}
		if _, err := netlink.LinkByName("rw0"); err == nil {
			t.Error("the interface is still there")
		}
	})
}

// halt stops a process with SIGSTOP and waits until all its threads stand still: the signal is sent to one, and those that run on another CPU go on for
// a moment. It goes on when the test ends, or earlier with SIGCONT.
func halt(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Kill(pid, syscall.SIGCONT) })
	for range 500 {
		if stopped(t, pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the process does not stop")
}

// stopped tells whether every thread of the process is in state T (proc(5), /proc/pid/stat: the field after the name in parentheses).
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads of the process %d: %v, %v", pid, threads, err)
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		if _, state, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return true
}
