package adopt

import (
	"strings"
)

// The fields of a line of `wg show DEVICE dump`, which `wg show all dump` has behind the name of the device (wg(8)).
const (
	deviceFields   = 4 // private key, public key, port, mark
	peerFields     = 8 // public key, preshared key, endpoint, allowed prefixes, handshake, received, sent, keepalive
	withDeviceName = 1
)

// readDump reads a line of a dump.
func (p *parser) readDump(line string) error {
	if strings.TrimSpace(line) == "" {
		return nil
	}
	fields := strings.Split(line, "\t")
	switch len(fields) {
	case deviceFields + withDeviceName:
		return p.dumpedDevice(fields[withDeviceName:])
	case deviceFields:
		return p.dumpedDevice(fields)
	case peerFields + withDeviceName:
		return p.dumpedPeer(fields[withDeviceName:])
	case peerFields:
		return p.dumpedPeer(fields)
	}
	return p.wrong("the line is none of a dump", "give all that wg show all dump prints; the line is not shown, since it may hold a secret")
}

func (p *parser) dumpedDevice(fields []string) error {
	p.configs = append(p.configs, Config{Name: p.name})
	c := p.config()
	if private := fields[0]; private != "(none)" && private != "(hidden)" {
		if err := p.privateKey(c, private); err != nil {
			return err
		}
	} else if fields[1] != "(none)" {
		var me Peer
		if err := p.publicKey(&me, fields[1]); err != nil {
			return err
		}
		c.Public = me.Public
	}
	return p.deviceWord("listenport", fields[2])
}

func (p *parser) dumpedPeer(fields []string) error {
	if p.config() == nil {
		return p.wrong("a peer stands before its device", "give all that wg show all dump prints")
	}
	if err := p.beginPeer(); err != nil {
		return err
	}
	peer := p.peer()
	peer.Preshared = fields[1] != "(none)"
	if err := p.publicKey(peer, fields[0]); err != nil {
		return err
	}
	if fields[2] != "(none)" {
		if err := p.endpoint(peer, fields[2]); err != nil {
			return err
		}
	}
	if err := p.peerWord("allowedips", fields[3]); err != nil {
		return err
	}
	return p.keepalive(peer, fields[7])
}
