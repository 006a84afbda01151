package firewall

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"ropeway/internal/plan"
)

// TestChangesAreAtomic changes the table back and forth while packets cross: what both plans allow is never lost, and what
// neither allows never passes.
func TestChangesAreAtomic(t *testing.T) {
	w := newWorld(t)
	always := both(t, "udp/53")
	other := plan.Rule{ID: 2, Direction: plan.Out, From: pfx("10.1.0.0/16"), To: pfx("10.3.0.0/16"), Services: svc(t, "tcp/1-9", "tcp/20")}
	narrow := always
	narrow.To = pfx("10.2.0.0/17", "fd02::/48")
	long, longer := always, always
	long.To = append(append([]netip.Prefix{}, always.To...), many(200)...) // not in order, which is the firewall's business
	longer.To = append(append([]netip.Prefix{}, always.To...), many(210)[3:]...)
	plans := []*plan.Gateway{
		gateway(always), gateway(other, narrow), gateway(narrow, other), gateway(other, always), // sets come and go
		gateway(long), gateway(longer), gateway(other, long), gateway(longer), // elements come and go
	}
	w.apply(plans[0])
	here, err := netns.Get()
	must(t, err)
	defer func() { _ = here.Close() }()
	stop, ended := make(chan struct{}), make(chan error, 1)
	changes := 0
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := netns.Set(here)
		for ; err == nil; changes++ {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			_, err = w.fw.Apply(t.Context(), plans[changes%len(plans)])
		}
		ended <- err
	}()
	var good, bad []uint32
	for n := range 4000 {
		p := udp("10.1.0.5", "10.2.0.5", 53)
		p.sport = uint16(1024 + n)
		good = append(good, w.send("eth0", p))
		p.dport = 54
		bad = append(bad, w.send("eth0", p))
		if n%50 == 0 {
			time.Sleep(time.Millisecond)
		}
		w.collect()
	}
	close(stop)
	must(t, <-ended)
	w.settle()
	for i := range good {
		if w.seen[good[i]] != "rw0" || w.seen[bad[i]] != "" {
			t.Errorf("packet %d: allowed left by %q, denied by %q", i, w.seen[good[i]], w.seen[bad[i]])
		}
	}
	t.Logf("%d changes meanwhile", changes)
	if changes < 10 {
		t.Error("too few changes: the test tests nothing")
	}
}

// TestNoisyNeighbour lets somebody else change a table of his own without pause while ours is read and changed.
func TestNoisyNeighbour(t *testing.T) {
	w := newWorld(t)
	here, err := netns.Get()
	must(t, err)
	defer func() { _ = here.Close() }()
	stop, ended := make(chan struct{}), make(chan error, 1)
	commits := 0
	go func() {
		runtime.LockOSThread()
		err := netns.Set(here)
		var s *socket
		if err == nil {
			s, err = dial(receiveBuffer)
		}
		for ; err == nil; commits++ {
			select {
			case <-stop:
				ended <- s.close()
				return
			default:
			}
			err = s.commit(t.Context(), neighbourBatch())
			time.Sleep(time.Millisecond)
		}
		ended <- err
	}()
	prefixes := many(5001)
	for n := range 20 {
		g := large(prefixes[:5000+n%2])
		w.apply(g)
		other := New()
		state, err := other.Observe(t.Context())
		if err != nil {
			t.Errorf("read %d: %v", n, err)
		} else if change := Diff(state, Compile(g)); !change.Empty() {
			t.Errorf("read %d would change %q", n, change.Lines())
		}
		_ = other.Close()
	}
	close(stop)
	must(t, <-ended)
	t.Logf("%d transactions of the neighbour meanwhile", commits)
	if commits < 20 {
		t.Error("the neighbour was quiet: the test tests nothing")
	}
}

// neighbourBatch makes and deletes a chain of the table `inet neighbour`.
func neighbourBatch() *batch {
	b := &batch{}
	for _, m := range []uint16{unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELTABLE} {
		b.open = len(b.buf)
		b.what = append(b.what, "be a neighbour")
		b.buf = appendHeader(b.buf, nft(m), unix.NLM_F_CREATE, unix.NFPROTO_INET, 0)
		b.buf = appendAttr(b.buf, text(1, "neighbour"))
		if m == unix.NFT_MSG_NEWCHAIN {
			b.buf = appendAttr(b.buf, text(unix.NFTA_CHAIN_NAME, "c"))
		}
		b.end()
	}
	return b
}

// TestHalfWay stops between the two transactions of a change, as an agent that is killed there. Nothing that packets notice has
// happened, and whoever comes next goes on from there, forth or back.
func TestHalfWay(t *testing.T) {
	w := newWorld(t)
	old := gateway(both(t, "udp/53"))
	next := gateway(plan.Rule{ID: 1, Direction: plan.Out, From: pfx("10.1.4.0/22"), To: pfx("10.3.0.0/16"), Services: svc(t, "udp/53")})
	for _, g := range []*plan.Gateway{next, old} {
		w.apply(old)
		have, err := w.fw.Observe(t.Context())
		must(t, err)
		transactions := Diff(have, Compile(next)).batches()
		if len(transactions) != 2 {
			t.Fatalf("%d transactions, want 2", len(transactions))
		}
		must(t, w.fw.socket.commit(t.Context(), transactions[0]))
		p := udp("10.1.0.5", "10.2.0.5", 53)
		p.sport = uint16(100 + w.mark)
		if got := w.passes("eth0", p); got != "rw0" {
			t.Errorf("half way, what the old plan allows leaves by %q", got)
		}
		somebody := New()
		if _, err := somebody.Apply(t.Context(), g); err != nil {
			t.Errorf("go on: %v", err)
		}
		_ = somebody.Close()
		got := list(t)
		must(t, w.fw.Remove(t.Context()))
		w.apply(g)
		if diff := cmp.Diff(anonymous(list(t)), anonymous(got)); diff != "" {
			t.Errorf("the table (-from nothing +from half way):\n%s", diff)
		}
	}
}
