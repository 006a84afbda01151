package rtnl

import (
	"errors"

	"golang.org/x/sys/unix"
)

// A Link is an interface.
type Link struct {
	Index int
	Name  string
	Kind  string // "wireguard", "tun", …; "" for hardware and loopback
	Up    bool
	MTU   int
}

// attempts bounds how often a dump that changed while it was read is read again.
const attempts = 5

// Again calls a function that dumps until what it dumps does not change meanwhile, at most five times.
func Again(dump func() error) (err error) {
	for range attempts {
		if err = dump(); !errors.Is(err, ErrInterrupted) {
			break
		}
	}
	return err
}

// skipStats is RTEXT_FILTER_SKIP_STATS of linux/rtnetlink.h: counters make most of an answer about interfaces.
const skipStats = 1 << 3

// Links returns every interface.
func (c *Conn) Links() (out []Link, err error) {
	err = Again(func() error {
		out = out[:0]
		return c.Dump(func(b *Builder) {
			b.Message(unix.RTM_GETLINK, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfInfomsg))
			b.Uint32(unix.IFLA_EXT_MASK, skipStats)
		}, func(payload []byte) error {
			if len(payload) >= unix.SizeofIfInfomsg {
				out = append(out, parseLink(payload))
			}
			return nil
		})
	})
	return out, err
}

// parseLink reads struct ifinfomsg (family, type, index, flags, change) and its attributes.
func parseLink(payload []byte) (l Link) {
	l.Index = int(int32(Uint32(payload[4:])))
	l.Up = Uint32(payload[8:])&unix.IFF_UP != 0
	Attrs(payload[unix.SizeofIfInfomsg:], func(kind uint16, value []byte) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.Name = unix.ByteSliceToString(value)
		case unix.IFLA_MTU:
			l.MTU = int(Uint32(value))
		case unix.IFLA_LINKINFO:
			Attrs(value, func(kind uint16, value []byte) {
				if kind == unix.IFLA_INFO_KIND {
					l.Kind = unix.ByteSliceToString(value)
				}
			})
		}
	})
	return l
}
