package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"sync"
	"time"

	"ropeway/internal/files"
	"ropeway/internal/key"
	"ropeway/internal/plan"
	"ropeway/internal/wireguard"
)

// endpointsName is a file of the state directory: where peers behind NAT were heard last.
const endpointsName = "endpoints.json"

// maxEndpoints bounds that file, in bytes. Each of 2^16 peers, the most a device has, takes 110 at most.
const maxEndpoints = 8 << 20

// How often it is looked where they are. A peer that moves meanwhile, and the machine with it, is waited for as one that nobody had heard.
const (
	hearEvery = 5 * time.Second
	hearRatio = 50 // looking takes a fiftieth of a processor at most: it reads devices whole
)

// endpoints remembers where those peers were heard last whose endpoint no plan gives, so that a device that is made anew can begin the handshake with them, also
// after a reboot. What it remembers is never older than what the device knew last, and is of use only to a device that knows less.
type endpoints struct {
	file string

	mu   sync.Mutex
	at   wireguard.Endpoints // nobody changes a map that is here
	kept bool                // on disk as here
}

// restore finds what was remembered before this process began. What cannot be read is nothing.
func (e *endpoints) restore() error {
	sweep(e.file)
	data, err := files.Read(e.file, maxEndpoints)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var at wireguard.Endpoints
	if err == nil {
		err = json.Unmarshal(data, &at)
	}
	if err != nil {
		return fmt.Errorf("read where peers were heard last: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.at, e.kept = at, true
	return nil
}

// recall implements wireguard.Recall. Whatever the file holds, it returns nothing that is not the address of a machine.
func (e *endpoints) recall(device string, peer key.Public) netip.AddrPort {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := e.at[device][peer]
	addr := at.Addr().Unmap()
	if at.Port() == 0 || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr, at.Port())
}

// note remembers where peers are now, and forgets those that are not in the plan any more, or have an endpoint there. It writes only what changed.
func (e *endpoints) note(want []plan.Device, now wireguard.Endpoints) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	next := latest(want, now, e.at)
	if e.kept && maps.EqualFunc(next, e.at, maps.Equal) || len(next) == 0 && len(e.at) == 0 {
		return nil
	}
	e.at, e.kept = next, false
	data, err := json.Marshal(next)
	if err == nil {
		err = files.Replace(e.file, append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep where peers were heard last: %w", err)
	}
	e.kept = true
	return nil
}

// latest returns where the peers of the plan that have no endpoint there were heard: now, else before.
func latest(want []plan.Device, now, before wireguard.Endpoints) wireguard.Endpoints {
	out := wireguard.Endpoints{}
	for i := range want {
		d := &want[i]
		for _, p := range d.Peers {
			at, heard := now[d.Name][p.PublicKey]
			if !heard {
				at, heard = before[d.Name][p.PublicKey]
			}
			if !heard || !p.Endpoint.IsZero() || p.PublicKey.IsZero() {
				continue
			}
			if out[d.Name] == nil {
				out[d.Name] = map[key.Public]netip.AddrPort{}
			}
			out[d.Name][p.PublicKey] = at
		}
	}
	return out
}

// rememberPeers keeps what a device that is made anew will ask for, until ctx ends.
func (a *Agent) rememberPeers(ctx context.Context) {
	var said string
	for rest := hearEvery; sleep(ctx, rest); {
		begun := time.Now()
		err := a.notePeers(ctx)
		rest = max(hearEvery, hearRatio*time.Since(begun))
		switch {
		case err == nil:
			said = ""
		case ctx.Err() == nil && err.Error() != said:
			said = err.Error()
			a.log.Warn("after a restart peers behind NAT may be out of reach for 15 s", "error", err)
		}
	}
}

// notePeers looks once.
func (a *Agent) notePeers(ctx context.Context) error {
	a.mu.Lock()
	want := a.record.wanted
	a.mu.Unlock()
	if want == nil {
		return nil
	}
	now, err := a.machine.devices.Heard(ctx, want.Gateway.Devices)
	return errors.Join(err, a.machine.endpoints.note(want.Gateway.Devices, now))
}
