package rtnl_test

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"ropeway/internal/nstest"
	"ropeway/internal/rtnl"
)

func open(t *testing.T) *rtnl.Conn {
	t.Helper()
	nstest.Enter(t)
	c, err := rtnl.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestLinks(t *testing.T) {
	c := open(t)
	links, err := c.Links()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Name == "lo" && l.Index == 1 && l.Up && l.MTU == 65536 {
			return
		}
	}
	t.Errorf("no loopback interface in %+v", links)
}

// TestExecuteTellsEveryError sends batches in which every third message is refused, more than fit into one batch.
func TestExecuteTellsEveryError(t *testing.T) {
	c := open(t)
	const n = 2000
	var order []int
	refused := map[int]error{}
	err := c.Execute(context.Background(), n, func(b *rtnl.Builder, i int) {
		order = append(order, i)
		msg := []byte{unix.AF_INET, 32, 0, 0, unix.RT_TABLE_MAIN, 114, unix.RT_SCOPE_LINK, unix.RTN_UNICAST, 0, 0, 0, 0}
		b.Message(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, msg)
		b.Attr(unix.RTA_DST, []byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		device := uint32(1)
		if i%3 == 0 {
			device = 4711
		}
		b.Uint32(unix.RTA_OIF, device)
	}, func(i int, err error) { refused[i] = err })
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if order[i] != i {
			t.Fatalf("message %d was made at turn %d", order[i], i)
		}
		if _, bad := refused[i]; bad != (i%3 == 0) || bad && !errors.Is(refused[i], unix.ENODEV) {
			t.Fatalf("message %d: %v", i, refused[i])
		}
	}
}

func TestExecuteStopsWithItsContext(t *testing.T) {
	c := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := c.Execute(ctx, 1, func(*rtnl.Builder, int) { t.Error("a message was made") }, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestDumpTellsAnError(t *testing.T) {
	c := open(t)
	err := c.Dump(func(b *rtnl.Builder) {
		b.Message(unix.RTM_GETLINK, unix.NLM_F_DUMP, []byte{1, 2, 3, 4}) // no struct ifinfomsg
	}, func([]byte) error { return nil })
	if !errors.Is(err, unix.EINVAL) {
		t.Errorf("error %v, want EINVAL", err)
	}
	if _, err := c.Links(); err != nil {
		t.Errorf("the socket is of no use afterwards: %v", err)
	}
}

func FuzzAttrs(f *testing.F) {
	f.Add([]byte{8, 0, 1, 0, 1, 2, 3, 4, 3, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, data []byte) {
		total := 0
		rtnl.Attrs(data, func(_ uint16, value []byte) { total += len(value) + 4 })
		if total > len(data) {
			panic("the attributes are longer than what holds them")
		}
	})
}
