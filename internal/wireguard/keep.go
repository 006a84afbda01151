package wireguard

import (
	"context"

	"golang.org/x/sys/unix"
)

// A kept socket is the control of a userspace device whose conversation goes on when it is closed: to begin one takes the device longer
// than most of what it is asked.
type kept struct {
	*socket
	client *Client
	name   string
}

// converse goes on with the conversation with a device, or begins one. An error that wraps ENOENT or ECONNREFUSED means that there is no device.
func (c *Client) converse(ctx context.Context, name string) (*kept, error) {
	if s := c.talks[name]; s != nil {
		delete(c.talks, name)
		if s.quiet() && s.limit(ctx) == nil {
			return c.keep(name, s), nil
		}
		_ = s.close()
	}
	s, err := openSocket(ctx, c.opts.SocketDir, name)
	if err != nil {
		return nil, err
	}
	return c.keep(name, s), nil
}

func (c *Client) keep(name string, s *socket) *kept { return &kept{s, c, name} }

func (k *kept) close() error {
	if k.broken || k.retract() != nil {
		return k.socket.close()
	}
	k.client.talks[k.name] = k.socket
	return nil
}

// hangUp ends the conversation with a device.
func (c *Client) hangUp(name string) {
	if s := c.talks[name]; s != nil {
		delete(c.talks, name)
		_ = s.close()
	}
}

// quiet reports whether a device, which has nothing to say unless asked, still listens: it did not end, nor grow tired of waiting.
func (s *socket) quiet() bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN | unix.POLLRDHUP}}, 0)
	return n == 0 && err == nil && s.r.Buffered() == 0
}
