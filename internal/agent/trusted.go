package agent

import (
	"log/slog"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// trusted accepts connections of the agent's own user and of root only. The mode of the socket says the same; this also holds for
// a socket that was passed on, or whose mode somebody changed.
type trusted struct {
	net.Listener
	log *slog.Logger
}

// Accept implements net.Listener. A connection of anybody else is closed.
func (t trusted) Accept() (net.Conn, error) {
	for {
		conn, err := t.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, ok := peerOf(conn); ok && mayAsk(uid, os.Geteuid()) {
			return conn, nil
		}
		t.log.Warn("a connection to the status socket was refused: it is neither root's nor the agent's user's")
		_ = conn.Close()
	}
}

func mayAsk(uid, own int) bool { return uid == 0 || uid == own }

// peerOf returns the user at the other end of a unix socket, as the kernel knows it (SO_PEERCRED, unix(7)).
func peerOf(conn net.Conn) (uid int, ok bool) {
	socket, isUnix := conn.(*net.UnixConn)
	if !isUnix {
		return 0, false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, false
	}
	var cred *unix.Ucred
	if raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil {
		return 0, false
	}
	return int(cred.Uid), true
}
