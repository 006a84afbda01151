package wireguard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ropeway/internal/nstest"
	"ropeway/internal/plan"
)

// A mesh is two gateways with a device per link between them, all of them with the gateway's one key.
type mesh struct {
	a, b           *end
	linksA, linksB []plan.Device
}

// newMesh makes n links; link i has the tunnel addresses 100.64.1.i at a and 100.64.2.i at b.
func newMesh(t testing.TB, n int) *mesh {
	t.Helper()
	a, b := pair(t)
	m := &mesh{a: a, b: b}
	for i := 1; i <= n; i++ {
		d := func(e *end, gateway int, far *end, farAddr string) plan.Device {
			p := far.peer("far", fmt.Sprintf("%s:%d", farAddr, 51820+i), 0)
			p.AllowedIPs = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
			return plan.Device{
				Name: fmt.Sprintf("rw%d", i), ListenPort: uint16(51820 + i), MTU: 1420, Peers: []*plan.Peer{p},
				Addresses: []netip.Prefix{netip.PrefixFrom(meshAddr(gateway, i), 32)},
			}
		}
		m.linksA = append(m.linksA, d(a, 1, b, "192.0.2.2"))
		m.linksB = append(m.linksB, d(b, 2, a, "192.0.2.1"))
	}
	return m
}

func meshAddr(gateway, link int) netip.Addr {
	return netip.AddrFrom4([4]byte{100, 64, byte(gateway), byte(link)})
}

func (m *mesh) apply(e *end, list []plan.Device) ([]Change, error) {
	var changes []Change
	var err error
	nstest.In(e.t, e.ns, func() { changes, err = e.client.Apply(context.Background(), list, e.keys) })
	return changes, err
}

func (m *mesh) up(t testing.TB) {
	t.Helper()
	for _, x := range []struct {
		e    *end
		list []plan.Device
	}{{m.a, m.linksA}, {m.b, m.linksB}} {
		if _, err := m.apply(x.e, x.list); err != nil {
			t.Fatal(err)
		}
	}
	m.route(m.a, 2)
	m.route(m.b, 1)
}

// route leads each address of the other gateway into its link.
func (m *mesh) route(e *end, far int) {
	e.t.Helper()
	nstest.In(e.t, e.ns, func() {
		for i := range m.linksA {
			l, err := netlink.LinkByName(m.linksA[i].Name)
			if err == nil {
				err = netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(netip.PrefixFrom(meshAddr(far, i+1), 32)),
					Scope: netlink.SCOPE_LINK, Src: meshAddr(3-far, i+1).AsSlice()})
			}
			if err != nil {
				e.t.Fatal(err)
			}
		}
	})
}

// pids returns the processes that serve the devices of an end, each once.
func (e *end) pids(names ...string) []int {
	e.t.Helper()
	var out []int
	for _, name := range names {
		s, err := openSocket(context.Background(), e.opts.SocketDir, name)
		if err != nil {
			e.t.Fatal(err)
		}
		cred, err := unix.GetsockoptUcred(s.fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err := errors.Join(err, s.close()); err != nil {
			e.t.Fatal(err)
		}
		if !slices.Contains(out, int(cred.Pid)) {
			out = append(out, int(cred.Pid))
		}
	}
	return out
}

func namesOf(list []plan.Device) (out []string) {
	for _, d := range list {
		out = append(out, d.Name)
	}
	return out
}

// ended waits until a process has ended.
func ended(t testing.TB, c *Client, pid int) {
	t.Helper()
	for range 500 {
		c.mu.Lock()
		c.reap()
		c.mu.Unlock()
		if unix.Kill(pid, 0) != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the process is still there")
}

// TestAnAbandonedProcessMakesNothing: an agent that was killed when it had just started the devices' process leaves no device that comes up later, whatever came in between.
func TestAnAbandonedProcessMakesNothing(t *testing.T) {
	userspaceOnly(t)
	e := newEnd(t, nstest.Enter(t), 1)
	input, alive, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	process := exec.CommandContext(t.Context(), e.opts.Command[0], append(slices.Clone(e.opts.Command[1:]), "rw0")...)
	process.Stdin = input
	if err := errors.Join(alive.Close(), process.Start(), input.Close()); err != nil {
		t.Fatal(err)
	}
	if err := process.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if _, err := netlink.LinkByName("rw0"); err == nil {
		t.Error("there is a device")
	}
}

// TestRemoveEndsAProcessWithoutDevice: where its starter is there and no device is yet, the process is found by its own socket.
func TestRemoveEndsAProcessWithoutDevice(t *testing.T) {
	userspaceOnly(t)
	e := newEnd(t, nstest.Enter(t), 1)
	e.apply()
	pid := e.pid()
	if err := e.client.endCarrier(t.Context()); err != nil { // as Remove does, after it saw no device
		t.Fatal(err)
	}
	ended(t, e.client, pid)
	if _, err := netlink.LinkByName("rw0"); err == nil {
		t.Error("the device is still there")
	}
}

// TestOneProcessCarriesAllDevices from the first to the last one.
func TestOneProcessCarriesAllDevices(t *testing.T) {
	userspaceOnly(t)
	m := newMesh(t, 4)
	m.up(t)
	names := namesOf(m.linksA)
	pids := m.a.pids(names...)
	if len(pids) != 1 {
		t.Fatalf("four devices are carried by the processes %v, want one", pids)
	}
	for i := range m.linksB {
		m.b.listen(meshAddr(2, i+1))
		if _, ok := reaches(m.a.dial(meshAddr(2, i+1)), 5*time.Second); !ok {
			t.Errorf("no packet came back through link %d", i+1)
		}
	}

	first := m.a.client
	m.a.client = New(m.a.opts) // as a restarted agent
	if changes, err := m.apply(m.a, m.linksA); err != nil || len(changes) > 0 {
		t.Errorf("a successor changed %v, %v", changes, err)
	}
	if _, err := m.apply(m.a, m.linksA[:2]); err != nil {
		t.Fatal(err)
	}
	if again := m.a.pids(names[:2]...); !slices.Equal(again, pids) {
		t.Errorf("two devices went, and the others are carried by %v, before by %v", again, pids)
	}
	if _, ok := reaches(m.a.dial(meshAddr(2, 1)), time.Second); !ok {
		t.Error("a device that stays lost its packets when another went")
	}
	if _, err := m.apply(m.a, m.linksA); err != nil {
		t.Fatal(err)
	}
	if again := m.a.pids(names...); !slices.Equal(again, pids) {
		t.Errorf("a successor's devices are carried by %v, want %v, which was there", again, pids)
	}
	var one []plan.Device
	for i := range 5 { // the last device goes, and another comes in the same breath
		if i%2 == 0 {
			one = m.linksA[3:]
		} else {
			one = m.linksA[:1]
		}
		if _, err := m.apply(m.a, one); err != nil {
			t.Fatal(err)
		}
	}
	last := m.a.pids(namesOf(one)...)[0]
	if _, err := m.apply(m.a, nil); err != nil {
		t.Fatal(err)
	}
	if last == pids[0] { // which the first client has to reap
		ended(t, first, last)
	} else {
		ended(t, m.a.client, last)
	}
	left, err := os.ReadDir(m.a.opts.SocketDir)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the directory of the sockets: %v, %v", left, err)
	}
}

// TestAllDevicesComeBack kills the process of many devices that another gateway talks to, and measures for how long packets are lost, both ways.
func TestAllDevicesComeBack(t *testing.T) {
	userspaceOnly(t)
	m := newMesh(t, 10)
	m.up(t)
	for i := range m.linksA {
		m.a.listen(meshAddr(1, i+1))
		m.b.listen(meshAddr(2, i+1))
		if _, ok := reaches(m.b.dial(meshAddr(1, i+1)), 5*time.Second); !ok {
			t.Fatalf("no packet came back through link %d", i+1)
		}
	}
	pid := m.a.pids(namesOf(m.linksA)...)[0]
	if err := unix.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for { // passes of an agent: the kernel may not be done with the old interfaces
		if _, err := m.apply(m.a, m.linksA); err == nil {
			break
		} else if time.Since(start) > 2*time.Second {
			t.Fatalf("not all devices are back: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	back := time.Since(start)
	m.route(m.a, 2)
	if pids := m.a.pids(namesOf(m.linksA)...); len(pids) != 1 {
		t.Errorf("carried by %v, want one process", pids)
	}
	begun := time.Now()
	for i := range m.linksA {
		if _, ok := reaches(m.b.dial(meshAddr(1, i+1)), time.Second); !ok {
			t.Errorf("link %d: no packet from the other side, whose session looked alive", i+1)
		}
		if _, ok := reaches(m.a.dial(meshAddr(2, i+1)), time.Second); !ok {
			t.Errorf("link %d: no packet to the other side", i+1)
		}
	}
	all := time.Since(begun)
	if all > time.Second {
		t.Errorf("packets pass through all links %s after the devices are back, want less than a second", all)
	}
	t.Logf("10 devices are back after %s, packets pass through all of them %s later", back, all)
}

// TestOldProcessIsAdopted: one that carries a single device and knows of no further ones, as those of the versions before, goes on, and new devices go
// elsewhere.
func TestOldProcessIsAdopted(t *testing.T) {
	userspaceOnly(t)
	m := newMesh(t, 3)
	if _, err := m.apply(m.a, m.linksA[:1]); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(carrierPath(m.a.opts.SocketDir)); err != nil { // that is all that an old one lacks
		t.Fatal(err)
	}
	old := m.a.pids("rw1")
	m.a.client = New(m.a.opts)
	if changes, err := m.apply(m.a, m.linksA); err != nil || slices.ContainsFunc(changes, func(c Change) bool { return c.Device == "rw1" }) {
		t.Fatalf("changes %v, %v; want none of rw1", changes, err)
	}
	if now := m.a.pids("rw1"); !slices.Equal(now, old) {
		t.Errorf("rw1 is carried by %v, before by %v", now, old)
	}
	if now := m.a.pids("rw2", "rw3"); len(now) != 1 || now[0] == old[0] {
		t.Errorf("the new devices are carried by %v, want one new process", now)
	}
}

// TestInterfacesInTheWay: a device that cannot be made fails alone, and says why.
func TestInterfacesInTheWay(t *testing.T) {
	userspaceOnly(t)
	m := newMesh(t, 3)
	if _, err := m.apply(m.a, m.linksA[:1]); err != nil {
		t.Fatal(err)
	}
	nstest.In(t, m.a.ns, func() {
		if _, ok, err := m.a.client.join(context.Background(), "rw1"); ok || !errors.Is(err, unix.EBUSY) {
			t.Errorf("a device that is there was made again: %v, %v", ok, err)
		}
		if _, ok, err := m.a.client.join(context.Background(), "../rw"); ok || !errors.Is(err, unix.EINVAL) {
			t.Errorf("a name that is none: %v, %v", ok, err)
		}
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "rw2"}, PeerName: "other"}); err != nil {
			t.Fatal(err)
		}
		_, ok, err := m.a.client.join(context.Background(), "rw2")
		if ok || err == nil || !strings.Contains(err.Error(), "make the interface rw2") {
			t.Errorf("somebody else's interface was taken: %v, %v", ok, err)
		}
	})
	if _, err := m.apply(m.a, m.linksA); err == nil || !strings.Contains(err.Error(), "rw2") || strings.Contains(err.Error(), "rw3") {
		t.Errorf("error %v, want one about rw2 alone", err)
	}
	if len(m.a.pids("rw1", "rw3")) != 1 {
		t.Error("rw3 is not carried beside rw1")
	}
}

// BenchmarkCarry reports what devices cost in memory, in one process and in one each, and the time to bring all of them up. A process each is what
// takes away the control socket of the process after every device.
func BenchmarkCarry(b *testing.B) {
	if tested() != Userspace {
		b.Skip("about the process of userspace devices")
	}
	for _, n := range []int{1, 10, 50} {
		for _, shared := range []bool{true, false} {
			b.Run(fmt.Sprintf("devices=%d/shared=%t", n, shared), func(b *testing.B) {
				program := build(b, "ropeway/cmd/ropeway-gateway")
				for b.Loop() {
					m := newMesh(b, n)
					m.a.opts.Command = m.a.inItsDirectory(program, "devices")
					m.a.client = New(m.a.opts)
					start := time.Now()
					step := n
					if !shared {
						step = 1
					}
					for i := step; i <= n; i += step {
						if _, err := m.apply(m.a, m.linksA[:i]); err != nil {
							b.Fatal(err)
						}
						if !shared {
							_ = os.Remove(carrierPath(m.a.opts.SocketDir))
						}
					}
					b.ReportMetric(time.Since(start).Seconds()*1e3, "ms-to-up")
					time.Sleep(time.Second)
					kib := 0
					for _, pid := range m.a.pids(namesOf(m.linksA)...) {
						kib += private(b, pid)
					}
					b.ReportMetric(float64(kib)/1024, "MiB")
					start = time.Now()
					if _, err := m.apply(m.a, nil); err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(time.Since(start).Seconds()*1e3, "ms-to-down")
				}
			})
		}
	}
}

// private returns the memory that a process alone uses, in KiB: what it has written (Private_Dirty, proc_pid_smaps_rollup(5)).
func private(tb testing.TB, pid int) int {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Private_Dirty:" {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	tb.Fatal("no Private_Dirty")
	return 0
}
