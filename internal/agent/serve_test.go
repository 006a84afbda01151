package agent

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ropeway/internal/diag"
)

func TestListen(t *testing.T) {
	for address, ok := range map[string]bool{"": true, "127.0.0.1:9586": true, "[::1]:1": true, "127.9.9.9:1": true, "[::ffff:127.0.0.1]:1": true,
		"0.0.0.0:9586": false, ":9586": false, "192.0.2.1:9586": false, "[::]:9586": false, "localhost:9586": false, "127.0.0.1": false, "127.0.0.1:x": false} {
		err := checkListen(address, false)
		var p diag.Problem
		if ok != (err == nil) || err != nil && (!errors.As(err, &p) || p.Code != codeListen) {
			t.Errorf("%q: %v, want ok %v", address, err, ok)
		}
	}
	if err := checkListen("0.0.0.0:9586", true); err != nil {
		t.Errorf("anywhere, by flag: %v", err)
	}
	if err := checkListen("example.net:9586", true); err == nil {
		t.Error("a name was taken")
	}
}

func TestTheSocketIsForItsUserAndRoot(t *testing.T) {
	if !mayAsk(0, 1000) || !mayAsk(1000, 1000) || mayAsk(1001, 1000) || mayAsk(1000, 0) {
		t.Error("root and the agent's own user may ask, nobody else")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root to be somebody else")
	}
	dir := t.TempDir()
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(dir, "s"))
	must(t, err)
	defer func() { _ = l.Close() }()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	file := os.NewFile(uintptr(pair[0]), "pair")
	conn, err := net.FileConn(file)
	must(t, errors.Join(err, file.Close(), unix.Close(pair[1])))
	defer func() { _ = conn.Close() }()
	if uid, ok := peerOf(conn); !ok || uid != os.Geteuid() {
		t.Errorf("the kernel names user %d (%v), want ourselves", uid, ok)
	}
	client, server := net.Pipe()
	defer func() { _, _ = client.Close(), server.Close() }()
	if _, ok := peerOf(server); ok {
		t.Error("a connection that is no unix socket has a user")
	}
}
