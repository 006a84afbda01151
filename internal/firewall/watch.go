package firewall

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A watch hears of every transaction of nftables in its network namespace. It is why Observe is cheap: while nobody else has
// touched the table, it holds what it held, and nothing has to be read.
type watch struct {
	socket    *socket
	listening bool
}

func newWatch() (*watch, error) {
	s, err := dial(watchBuffer)
	if err != nil {
		return nil, err
	}
	w := &watch{socket: s}
	if err := w.listen(true); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return w, nil
}

// listen begins to listen, or ends it.
func (w *watch) listen(on bool) error {
	if w.listening == on {
		return nil
	}
	option := unix.NETLINK_DROP_MEMBERSHIP
	if on {
		option = unix.NETLINK_ADD_MEMBERSHIP
	}
	if err := unix.SetsockoptInt(w.socket.fd, unix.SOL_NETLINK, option, groupNFTables); err != nil {
		return fmt.Errorf("listen to the news of nftables: %w", err)
	}
	w.listening = on
	return nil
}

// touched reports whether anybody but the socket of that port has changed the table since touched was last called. It errs on
// the side of yes: when there was more news than the buffer holds, or news that cannot be read.
func (w *watch) touched(own uint32) (bool, error) {
	touched := false
	for {
		datagram, err := w.socket.receive(unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return touched, nil
		case errors.Is(err, unix.ENOBUFS), errors.Is(err, errShort):
			touched = true
			continue
		case err != nil:
			return false, fmt.Errorf("read the news of nftables: %w", err)
		}
		for m, err := range messages(datagram) {
			touched = touched || err != nil || m.port != own && m.aboutTable()
		}
	}
}

// aboutTable reports whether a piece of news is about our table. Attribute 1 names the table, whatever the news; but that of a
// new generation is a number.
func (m message) aboutTable() bool {
	return m.kind != nft(unix.NFT_MSG_NEWGEN) && m.family == unix.NFPROTO_INET && findText(m.attrs, 1) == TableName
}
