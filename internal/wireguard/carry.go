package wireguard

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// carryOut does what Diff found, in its order, and returns what was done. The changes of peers go together: they are next to each other.
func (j *job) carryOut(ctx context.Context, changes []Change, found *Device) ([]Change, error) {
	var peers []Change
	started := false
	for i, c := range changes {
		if err := ctx.Err(); err != nil {
			return changes[:i], err
		}
		var err error
		switch c.Op {
		case CreateDevice:
		case SetKey:
			err = j.write(config{Private: &j.private})
		case SetPort:
			err = j.setPort(ctx, found)
			started = true
		case AddPeer, UpdatePeer, RemovePeer:
			peers = append(peers, c)
			if i+1 == len(changes) || changes[i+1].Peer == nil {
				if err = j.introduce(ctx, peers, found); err != nil {
					return changes[:i+1-len(peers)], fmt.Errorf("configure the peers: %w", err)
				}
			}
		default:
			err = changeLink(j.link.Index, c)
			started = started || c.Op == SetUp
			if c.Op == SetUp && errors.Is(err, syscall.EADDRINUSE) { // the kernel's device binds its port now
				err = fmt.Errorf("listen on UDP port %d: %w", j.want.ListenPort, err)
			}
		}
		if err != nil {
			return changes[:i], fmt.Errorf("%s: %w", c.Op, err)
		}
	}
	if !started {
		return changes, nil
	}
	if err := j.start(ctx, found); err != nil {
		return changes, err
	}
	return changes, nil
}

// start makes sure that a device that goes up, or has another port, listens, and begins the handshakes.
func (j *job) start(ctx context.Context, found *Device) error {
	if err := j.control.start(); err != nil {
		return fmt.Errorf("listen on UDP port %d: %w", j.want.ListenPort, err)
	}
	if found.Up {
		return nil
	}
	if err := j.greet(ctx, j.want.Peers, found); err != nil {
		return fmt.Errorf("begin the handshakes: %w", err)
	}
	return nil
}

// setPort gives the device its port. The process that had it before, killed a moment ago, may not have let go of it yet.
func (j *job) setPort(ctx context.Context, found *Device) (err error) {
	for range portAttempts {
		if err = j.write(config{Port: &j.want.ListenPort}); !errors.Is(err, syscall.EADDRINUSE) || found.ListenPort != 0 || ctx.Err() != nil {
			break
		}
		time.Sleep(portPause)
	}
	if err != nil {
		return fmt.Errorf("%d: %w", j.want.ListenPort, err)
	}
	return nil
}

// How often, and how long apart, the port of a new device is tried.
const (
	portAttempts = 10
	portPause    = 20 * time.Millisecond
)

func (j *job) write(c config) error {
	j.writes++
	return j.control.write(c)
}

// writePeers sends changes of peers.
func (j *job) writePeers(ctx context.Context, changes []Change) error {
	err := inPieces(ctx, sections(changes), j.write)
	if err == nil {
		j.remember(changes)
	}
	return err
}

// remember keeps the endpoints that were set.
func (j *job) remember(changes []Change) {
	for _, c := range changes {
		if c.Peer.Endpoint.IsValid() {
			j.known.set[c.Peer.PublicKey] = c.Peer.Endpoint
		}
	}
}
