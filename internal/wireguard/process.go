package wireguard

import "context"

// RunOptions of a userspace device.
type RunOptions struct {
	SocketDir string // default /run/wireguard
}

// RunDevice is the process of a userspace device: it makes the TUN interface NAME, serves the control socket
// SocketDir/NAME.sock (mode 0600) and forwards packets until ctx ends, SIGTERM arrives, or the socket or the interface goes.
func RunDevice(ctx context.Context, name string, opts RunOptions) error { return errNotYet }
