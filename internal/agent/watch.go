package agent

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/mdlayher/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"ropeway/internal/route"
)

// again is how long a watch that cannot be had waits before it tries again. Until then the poll does its work.
const again = time.Second

// watchFile wakes the loop when a file may have changed. It watches the directory, because a file that is replaced is another one.
func watchFile(ctx context.Context, path string, wake chan<- struct{}) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil //nolint:nilerr // out of inotify instances: the poll finds changes too, a little later
	}
	defer func() { _ = w.Close() }()
	dir, name := filepath.Dir(path), filepath.Base(path)
	renew := time.NewTicker(again)
	defer renew.Stop()
	for {
		_ = w.Add(dir) // where the directory was replaced too, this is what finds the new one
		select {
		case <-ctx.Done():
			return nil
		case <-renew.C:
		case <-w.Errors:
			poke(wake)
		case e := <-w.Events:
			if filepath.Base(e.Name) == name {
				poke(wake)
			}
		}
	}
}

func poke(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default: // one is waiting already
	}
}

// A feed is a netlink family, the groups of it that tell of what the agent owns, and the messages among them that do.
type feed struct {
	family int
	groups []uint32
	ours   func(netlink.Message) bool
}

// nftablesGroup is NFNLGRP_NFTABLES of linux/netfilter/nfnetlink.h, which package unix does not name.
const nftablesGroup = 7

func feeds() []feed {
	return []feed{
		{unix.NETLINK_ROUTE, []uint32{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
			unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP}, ourRoutes},
		{unix.NETLINK_NETFILTER, []uint32{nftablesGroup}, ourRules},
	}
}

// watchKernel wakes the loop when something that the agent owns may have changed, and counts how learnt routes do, which are a routing daemon's own. What the agent changes itself wakes it too, once:
// the pass that follows finds nothing to do.
func watchKernel(ctx context.Context, log *slog.Logger, wake chan<- struct{}, routing *burst) error {
	var group errgroup.Group
	for _, f := range feeds() {
		group.Go(func() error {
			for {
				if err := f.follow(ctx, wake, routing); ctx.Err() == nil {
					log.Warn("kernel events are lost, the poll goes on", "error", err)
				}
				poke(wake) // something may have happened between
				if !sleep(ctx, again) {
					return nil
				}
			}
		})
	}
	return group.Wait()
}

// follow passes on events until ctx ends or the socket fails.
func (f feed) follow(ctx context.Context, wake chan<- struct{}, routing *burst) error {
	conn, err := netlink.Dial(f.family, nil)
	if err != nil {
		return fmt.Errorf("open netlink family %d: %w", f.family, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }) // ends a Receive that waits
	defer func() {
		stop()
		_ = conn.Close()
	}()
	for _, g := range f.groups {
		if err := conn.JoinGroup(g); err != nil {
			return fmt.Errorf("join group %d of netlink family %d: %w", g, f.family, err)
		}
	}
	for {
		messages, err := conn.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS): // more events than fit: surely one was ours
			poke(wake)
		case err != nil:
			return fmt.Errorf("receive from netlink family %d: %w", f.family, err)
		}
		ours, changes := false, 0
		for _, m := range messages {
			ours = ours || f.ours(m)
			if f.family == unix.NETLINK_ROUTE && learnt(m) {
				changes++
			}
		}
		routing.note(time.Now(), changes)
		if ours {
			poke(wake)
		}
	}
}

// ourRoutes tells the messages about interfaces of Ropeway's, addresses, and routes and nexthops of its protocol number. The
// offsets are those of struct rtmsg and struct nhmsg.
func ourRoutes(m netlink.Message) bool {
	switch m.Header.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return len(m.Data) > 5 && m.Data[5] == route.Protocol
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		return len(m.Data) > 2 && m.Data[2] == route.Protocol
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return bytes.HasPrefix(attribute(m.Data, unix.SizeofIfInfomsg, unix.IFLA_IFNAME), []byte("rw"))
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return true
	}
	return false
}

// ourRules tells the messages about the table inet ropeway: every kind of nftables message that belongs to a table names it in
// its first attribute, behind struct nfgenmsg.
func ourRules(m netlink.Message) bool {
	const sizeofNfgenmsg, tableName = 4, 1
	name := attribute(m.Data, sizeofNfgenmsg, tableName)
	return string(bytes.TrimRight(name, "\x00")) == "ropeway"
}

// attribute returns the value of the first attribute of a type in a netlink message, or nil. The length and type of an attribute
// are 16 bits each, and attributes begin at multiples of 4.
func attribute(data []byte, skip int, want uint16) []byte {
	for data = cut(data, skip); len(data) >= unix.SizeofNlAttr; {
		size := int(binary.NativeEndian.Uint16(data))
		if size < unix.SizeofNlAttr || size > len(data) {
			return nil
		}
		if binary.NativeEndian.Uint16(data[2:])&attributeType == want {
			return data[unix.SizeofNlAttr:size]
		}
		data = cut(data, (size+3)&^3)
	}
	return nil
}

// attributeType is NLA_TYPE_MASK of linux/netlink.h: the upper two bits of a type are flags.
const attributeType = 0x3fff

func cut(data []byte, n int) []byte { return data[min(n, len(data)):] }
