package firewall

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A watch hears of every transaction of nftables in its network namespace. It is why Observe is cheap: while nobody else has
// touched the table, it holds what it held, and nothing has to be read.
type watch struct{ socket *socket }

func newWatch() (*watch, error) {
	s, err := dial(groupNFTables)
	if err != nil {
		return nil, err
	}
	return &watch{s}, nil
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
