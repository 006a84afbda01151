package route

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"ropeway/internal/rtnl"
)

// Observe returns what is there of ours.
func (c *Client) Observe(ctx context.Context) (State, error) {
	conn, err := rtnl.Open()
	if err != nil {
		return State{}, err
	}
	defer func() { _ = conn.Close() }()
	return observe(ctx, conn)
}

func observe(ctx context.Context, conn *rtnl.Conn) (s State, err error) {
	names, err := deviceNames(conn)
	if err != nil {
		return State{}, err
	}
	if err = rtnl.Again(func() error {
		s.Nexthops = s.Nexthops[:0]
		return dumpNexthops(conn, func(h Nexthop, index int) {
			h.Device = names[index]
			s.Nexthops = append(s.Nexthops, h)
		})
	}); err != nil {
		return State{}, fmt.Errorf("list the nexthop objects: %w", err)
	}
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		if err := ctx.Err(); err != nil {
			return State{}, err
		}
		before := len(s.Routes)
		if err = rtnl.Again(func() error {
			s.Routes = s.Routes[:before]
			return dumpRoutes(conn, family, Protocol, func(r Route, _ byte) { s.Routes = append(s.Routes, r) })
		}); err != nil {
			return State{}, fmt.Errorf("list the routes: %w", err)
		}
	}
	s.sort()
	return s, nil
}

// deviceNames returns the names of the interfaces by their index.
func deviceNames(conn *rtnl.Conn) (map[int]string, error) {
	links, err := conn.Links()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Index] = l.Name
	}
	return names, nil
}

// rtaNHID is RTA_NH_ID of linux/rtnetlink.h.
const rtaNHID = 30

// Attributes of nexthop objects (linux/nexthop.h).
const (
	nhaID      = 1
	nhaGroup   = 2
	nhaOIF     = 5
	nhaGateway = 6

	sizeofNhMsg = 8 // struct nhmsg: family, scope, protocol, reserved, flags
)

// dumpNexthops hands on the nexthop objects of our protocol, each with the index of its device; 0 where it is more than a device.
func dumpNexthops(conn *rtnl.Conn, each func(h Nexthop, index int)) error {
	return conn.Dump(func(b *rtnl.Builder) {
		b.Message(unix.RTM_GETNEXTHOP, unix.NLM_F_DUMP, make([]byte, sizeofNhMsg))
	}, func(payload []byte) error {
		if len(payload) < sizeofNhMsg || payload[2] != Protocol {
			return nil
		}
		h, index, more := Nexthop{IPv6: payload[0] == unix.AF_INET6}, 0, false
		rtnl.Attrs(payload[sizeofNhMsg:], func(kind uint16, value []byte) {
			switch kind {
			case nhaID:
				h.ID = rtnl.Uint32(value)
			case nhaOIF:
				index = int(rtnl.Uint32(value))
			case nhaGroup, nhaGateway:
				more = true
			}
		})
		if more {
			index = 0
		}
		each(h, index)
		return nil
	})
}

// dumpRoutes hands on the routes of the main table, of one protocol or (0) of all, with their protocol.
func dumpRoutes(conn *rtnl.Conn, family, protocol byte, each func(r Route, protocol byte)) error {
	err := conn.Dump(func(b *rtnl.Builder) {
		b.Message(unix.RTM_GETROUTE, unix.NLM_F_DUMP, rtMsg(family, 0, protocol, 0))
	}, func(payload []byte) error {
		if r, ok := parseRoute(payload); ok && payload[0] == family && (protocol == 0 || payload[5] == protocol) {
			each(r, payload[5])
		}
		return nil
	})
	if errors.Is(err, unix.ENOENT) { // a namespace has no main table until it has a route
		return nil
	}
	return err
}

// rtMsg is struct rtmsg: family, lengths of destination and source, TOS, table, protocol, scope, type, flags.
func rtMsg(family, bits, protocol, kind byte) []byte {
	return []byte{family, bits, 0, 0, unix.RT_TABLE_MAIN, protocol, unix.RT_SCOPE_UNIVERSE, kind, 0, 0, 0, 0}
}

// parseRoute reads a route; ok is false where it is not of the main table, or bound to a TOS or a source, which ours never are.
func parseRoute(payload []byte) (r Route, ok bool) {
	if len(payload) < unix.SizeofRtMsg || payload[4] != unix.RT_TABLE_MAIN || payload[2] != 0 || payload[3] != 0 {
		return r, false
	}
	addr := netip.IPv4Unspecified()
	if payload[0] == unix.AF_INET6 {
		addr = netip.IPv6Unspecified()
	}
	locks := uint32(0)
	rtnl.Attrs(payload[unix.SizeofRtMsg:], func(kind uint16, value []byte) {
		switch kind {
		case unix.RTA_DST:
			addr, _ = netip.AddrFromSlice(value)
		case unix.RTA_PRIORITY:
			r.Metric = rtnl.Uint32(value)
		case rtaNHID:
			r.Nexthop = rtnl.Uint32(value)
		case unix.RTA_METRICS:
			rtnl.Attrs(value, func(kind uint16, value []byte) {
				switch kind {
				case unix.RTAX_MTU:
					r.MTU = int(rtnl.Uint32(value))
				case unix.RTAX_LOCK:
					locks = rtnl.Uint32(value)
				}
			})
		}
	})
	r.Prefix, r.Locked = netip.PrefixFrom(addr, int(payload[1])), locks&(1<<unix.RTAX_MTU) != 0
	if payload[7] != unix.RTN_UNICAST {
		r.Nexthop = 0 // not as we make it
	}
	return r, r.Prefix.IsValid()
}

// appendRoute appends the message of a change of a route.
func appendRoute(b *rtnl.Builder, c *Change) {
	p := c.Route.Prefix
	family := byte(unix.AF_INET)
	if p.Addr().Is6() {
		family = unix.AF_INET6
	}
	kind, flags := uint16(unix.RTM_NEWROUTE), uint16(unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	switch c.Op {
	case ReplaceRoute:
		flags = unix.NLM_F_REPLACE
	case DeleteRoute:
		kind, flags = unix.RTM_DELROUTE, 0
	}
	msg := rtMsg(family, byte(p.Bits()), Protocol, unix.RTN_UNICAST)
	if c.Op == DeleteRoute {
		msg[6], msg[7] = unix.RT_SCOPE_NOWHERE, unix.RTN_UNSPEC // whatever scope and type it has
	}
	b.Message(kind, flags, msg)
	b.Attr(unix.RTA_DST, p.Addr().AsSlice())
	if c.Route.Metric != 0 {
		b.Uint32(unix.RTA_PRIORITY, c.Route.Metric)
	}
	if c.Op == DeleteRoute {
		return
	}
	b.Uint32(rtaNHID, c.Route.Nexthop)
	b.Nest(unix.RTA_METRICS, func() {
		if c.Route.Locked {
			b.Uint32(unix.RTAX_LOCK, 1<<unix.RTAX_MTU)
		}
		b.Uint32(unix.RTAX_MTU, uint32(c.Route.MTU))
	})
}

// appendNexthop appends the message of a change of a nexthop object.
func appendNexthop(b *rtnl.Builder, op Op, h Nexthop, index int) {
	msg := make([]byte, sizeofNhMsg)
	kind, flags := uint16(unix.RTM_NEWNEXTHOP), uint16(unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	switch op {
	case ReplaceNexthop:
		flags = unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	case DeleteNexthop:
		kind, flags = unix.RTM_DELNEXTHOP, 0
	}
	if op != DeleteNexthop {
		msg[0], msg[2] = unix.AF_INET, Protocol
		if h.IPv6 {
			msg[0] = unix.AF_INET6
		}
	}
	b.Message(kind, flags, msg)
	var id [4]byte
	binary.NativeEndian.PutUint32(id[:], h.ID)
	b.Attr(nhaID, id[:])
	if op != DeleteNexthop {
		b.Uint32(nhaOIF, uint32(index))
	}
}
