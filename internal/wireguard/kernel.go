package wireguard

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"ropeway/internal/key"
)

// A kernelDevice is the control of a device in the kernel.
type kernelDevice struct {
	name   string
	client *wgctrl.Client
}

func openKernel(name string) (*kernelDevice, error) {
	client, err := wgctrl.New()
	if err != nil {
		return nil, fmt.Errorf("open the kernel's WireGuard: %w", err)
	}
	return &kernelDevice{name, client}, nil
}

func (k *kernelDevice) close() error { return k.client.Close() }

// start has nothing to do: the kernel binds the port when the interface goes up, and says so when it cannot.
func (k *kernelDevice) start() error { return nil }

func (k *kernelDevice) read() (status, error) {
	d, err := k.client.Device(k.name)
	if err != nil {
		return status{}, fmt.Errorf("read the device: %w", err)
	}
	s := status{ListenPort: uint16(d.ListenPort)}
	if d.PrivateKey != (wgtypes.Key{}) {
		s.PublicKey = key.PublicFromBytes(d.PublicKey)
	}
	for i := range d.Peers {
		s.Peers = append(s.Peers, kernelPeer(&d.Peers[i]))
	}
	finish(s.Peers, time.Now())
	return s, nil
}

func kernelPeer(p *wgtypes.Peer) Peer {
	out := Peer{
		PublicKey:     key.PublicFromBytes(p.PublicKey),
		Keepalive:     int(p.PersistentKeepaliveInterval / time.Second),
		LastHandshake: p.LastHandshakeTime,
		Received:      uint64(p.ReceiveBytes),
		Sent:          uint64(p.TransmitBytes),
	}
	if p.Endpoint != nil {
		ap := p.Endpoint.AddrPort()
		out.Endpoint = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	for _, n := range p.AllowedIPs {
		addr, _ := netip.AddrFromSlice(n.IP)
		bits, _ := n.Mask.Size()
		out.AllowedIPs = append(out.AllowedIPs, netip.PrefixFrom(addr.Unmap(), bits))
	}
	return out
}

// change has no count to go by.
func (k *kernelDevice) change(uint64, []section) (status, error) { return status{}, errCount }

func (k *kernelDevice) write(c config) error {
	var cfg wgtypes.Config
	if c.Private != nil {
		raw := wgtypes.Key(c.Private.Reveal())
		cfg.PrivateKey = &raw
	}
	if c.Port != nil {
		port := int(*c.Port)
		cfg.ListenPort = &port
	}
	for i := range c.Peers {
		s := c.Peers[i]
		if s.Remove && len(s.AllowedIPs) > 0 { // the kernel removes a peer before it looks at anything else
			s.Remove = false
			cfg.Peers = append(cfg.Peers, kernelConfig(&s))
			s = section{PublicKey: s.PublicKey, Remove: true}
		}
		cfg.Peers = append(cfg.Peers, kernelConfig(&s))
	}
	if err := k.client.ConfigureDevice(k.name, cfg); err != nil {
		return fmt.Errorf("configure the device: %w", plainError(err))
	}
	return nil
}

func kernelConfig(s *section) wgtypes.PeerConfig {
	out := wgtypes.PeerConfig{PublicKey: s.PublicKey.Bytes(), Remove: s.Remove, UpdateOnly: s.UpdateOnly}
	if s.Endpoint.IsValid() {
		out.Endpoint = net.UDPAddrFromAddrPort(s.Endpoint)
	}
	if s.Keepalive != nil {
		d := time.Duration(*s.Keepalive) * time.Second
		out.PersistentKeepaliveInterval = &d
	}
	for _, p := range s.AllowedIPs {
		out.AllowedIPs = append(out.AllowedIPs, *ipNet(p))
	}
	return out
}

// plainError takes the number out of an error of the kernel, whose text may repeat what was sent.
func plainError(err error) error {
	var number interface{ Timeout() bool }
	if errors.As(err, &number) {
		if e, ok := number.(error); ok {
			return e
		}
	}
	return err
}
