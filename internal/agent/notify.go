package agent

import (
	"net"
	"os"
)

// notify tells the service manager how things are (sd_notify(3)), where there is one that listens.
func notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"}) // a leading @ is an abstract name
	if err != nil {
		return // nobody listens any more; nothing depends on it
	}
	defer func() { _ = conn.Close() }()
	_, _ = conn.Write([]byte(state))
}
