package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"ropeway/internal/bgp"
	"ropeway/internal/fabric"
	"ropeway/internal/logs"
	"ropeway/internal/plan"
)

// BGPStatus is the routing daemon of the plan, as it is.
type BGPStatus struct {
	Daemon    fabric.Daemon    `json:"daemon"`
	Running   bool             `json:"running"`
	Version   string           `json:"version,omitempty"`
	ASN       uint32           `json:"asn"`
	RouterID  netip.Addr       `json:"routerID"`
	Neighbors []NeighborStatus `json:"neighbors"`
	Prefixes  int              `json:"prefixes"` // that there is a route to, its own not among them
	Paths     int              `json:"paths"`    // ways to them, those included that carry nothing
	Converged *Convergence     `json:"converged,omitempty"`
}

// NeighborStatus is a session of the plan, as it is.
type NeighborStatus struct {
	Name      string     `json:"name"`
	Device    string     `json:"device,omitempty"` // "": a router of the place
	Address   netip.Addr `json:"address"`
	ASN       uint32     `json:"asn"`
	State     string     `json:"state"` // of RFC 4271, section 8.2.2; Absent: the daemon does not know it
	Up        bool       `json:"up"`
	Since     float64    `json:"sinceSeconds"` // how long it has been so
	Received  int        `json:"receivedPrefixes"`
	Sent      int        `json:"sentPrefixes"`
	Flaps     int        `json:"flaps"`
	BFD       string     `json:"bfd,omitempty"`
	LastError string     `json:"lastError,omitempty"`
	Link      PeerState  `json:"link,omitempty"`  // of the WireGuard session that it runs over
	Heard     bool       `json:"heard,omitempty"` // something came by that link since the session is as it is
}

// Absent is the state of a session that the daemon does not know.
const Absent = "Absent"

// observeEvery bounds how often a daemon is asked: it answers with all of its routes.
const observeEvery = time.Second

// An overheard is what a daemon said last.
type overheard struct {
	at    time.Time
	state *bgp.State
	err   error
}

// spoken returns what the daemon of the plan in force knows, asked at most once in observeEvery; nil where the plan has none.
func (a *Agent) spoken(ctx context.Context) (*bgp.State, error) {
	a.mu.Lock()
	want := a.record.wanted
	a.mu.Unlock()
	if want == nil || want.Gateway.BGP == nil {
		return nil, nil
	}
	a.speakMu.Lock()
	defer a.speakMu.Unlock()
	if time.Since(a.overheard.at) >= observeEvery {
		a.overheard.state, a.overheard.err = a.machine.speaker.observe(ctx, want.Gateway.BGP)
		a.overheard.at = time.Now()
	}
	return a.overheard.state, a.overheard.err
}

// Routes returns what the routing daemon knows of a prefix and those within it, or of the longest one that has an address; of all for "".
func (a *Agent) Routes(ctx context.Context, of string) ([]bgp.Route, error) {
	state, err := a.spoken(ctx)
	if err != nil || state == nil {
		return nil, err
	}
	return bgp.Select(state.Routes, of)
}

// bgpStatus describes the daemon of a plan; devices are those of the same status.
func bgpStatus(want *plan.BGP, found *bgp.State, devices []DeviceStatus, heard hearing) *BGPStatus {
	if found == nil {
		found = &bgp.State{}
	}
	out := &BGPStatus{Daemon: want.Daemon, Running: found.Running, Version: logs.Printable(found.Version), ASN: want.ASN, RouterID: want.RouterID}
	out.Neighbors = make([]NeighborStatus, 0, len(want.Neighbors))
	for _, n := range want.Neighbors {
		out.Neighbors = append(out.Neighbors, neighborStatus(n, found, devices, heard))
	}
	last := netip.Prefix{}
	for i := range found.Routes {
		r := &found.Routes[i]
		if r.Neighbor == "" {
			continue
		}
		if out.Paths++; r.Prefix != last {
			out.Prefixes++
			last = r.Prefix
		}
	}
	return out
}

func neighborStatus(want *plan.Neighbor, found *bgp.State, devices []DeviceStatus, heard hearing) NeighborStatus {
	out := NeighborStatus{Name: want.Name, Device: want.Device, Address: want.Address, ASN: want.ASN, State: Absent}
	at := slices.IndexFunc(found.Neighbors, func(n bgp.Neighbor) bool { return n.Address == want.Address })
	if at >= 0 {
		n := &found.Neighbors[at]
		out.State, out.Up, out.Since, out.Received, out.Sent = logs.Printable(n.State), n.Up, n.Since.Seconds(), n.Received, n.Sent
		out.Flaps, out.BFD, out.LastError = n.Flaps, logs.Printable(n.BFD), logs.Printable(n.LastError)
	}
	for i := range devices {
		if d := &devices[i]; d.Name == want.Device {
			for j := range d.Peers {
				if d.Peers[j].Gateway == want.Name {
					out.Link, out.Heard = d.Peers[j].State, heard.since(d.Name, out.Since)
				}
			}
		}
	}
	return out
}

// downMost is how long a session may be down while its link works.
const downMost = 10 * time.Second

// reasons returns what is the matter with routing. A session whose link does not work, or whose other end is silent, is no reason: what is wrong is over there. Nor is
// one with a router of the place, which is not the fabric's.
func (b *BGPStatus) reasons() []string {
	if b == nil {
		return nil
	}
	if !b.Running {
		return []string{"the routing daemon " + string(b.Daemon) + " does not run"}
	}
	var out []string
	for i := range b.Neighbors {
		n := &b.Neighbors[i]
		if n.Device != "" && !n.Up && n.Link == Up && n.Heard && n.State != Absent && n.Since > downMost.Seconds() {
			down := (time.Duration(n.Since) * time.Second).String()
			out = append(out, fmt.Sprintf("the session with %s over %s is down for %s (%s), though its link works", n.Name, n.Device, down, n.State))
		}
	}
	return out
}

// A listener remembers what came by each device, to tell a link that works from one that worked.
type listener struct {
	at       time.Time
	received map[string]uint64 // bytes, by device
	last     hearing
}

// A hearing is which devices something came by between two looks, and how long before now the first of them was.
type hearing struct {
	ago  time.Duration
	grew map[string]bool
}

// since reports whether something came by a device within the last seconds.
func (h hearing) since(device string, seconds float64) bool {
	return h.grew[device] && h.ago.Seconds() < seconds
}

// hear compares a look with the one before, which is at least a second older.
func (l *listener) hear(devices []DeviceStatus, now time.Time) hearing {
	if now.Sub(l.at) < time.Second {
		return l.last
	}
	was := l.received
	l.last = hearing{now.Sub(l.at), map[string]bool{}}
	l.at, l.received = now, map[string]uint64{}
	for i := range devices {
		d := &devices[i]
		for j := range d.Peers {
			l.received[d.Name] += d.Peers[j].Received
		}
		before, known := was[d.Name]
		l.last.grew[d.Name] = known && l.received[d.Name] > before
	}
	return l.last
}
