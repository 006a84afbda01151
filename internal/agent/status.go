package agent

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"time"

	"ropeway/internal/build"
	"ropeway/internal/firewall"
	"ropeway/internal/key"
	"ropeway/internal/logs"
	"ropeway/internal/plan"
	"ropeway/internal/wireguard"
)

// A Status is what an agent says of itself and its machine. It holds nothing secret.
type Status struct {
	Fabric    string         `json:"fabric,omitempty"`
	Gateway   string         `json:"gateway,omitempty"`
	Healthy   bool           `json:"healthy"`
	Reasons   []string       `json:"reasons,omitempty"` // why it is not
	Plan      PlanStatus     `json:"plan"`
	Backend   BackendStatus  `json:"backend"`
	Devices   []DeviceStatus `json:"devices"`
	Routes    RouteStatus    `json:"routes"`
	Firewall  FirewallStatus `json:"firewall"`
	BGP       *BGPStatus     `json:"bgp,omitempty"`     // absent where routing is static
	Table     *TableStatus   `json:"table,omitempty"`   // absent where the place's route table is not the gateway's to hold
	Drained   *time.Time     `json:"drained,omitempty"` // since when an operator wants it so
	LastError string         `json:"lastError,omitempty"`
	LastApply *Applied       `json:"lastApply,omitempty"`
	Applies   int            `json:"applies"`
	Repairs   map[string]int `json:"repairs"` // changes that nobody asked for and that were undone, by step
	Failures  map[string]int `json:"failures,omitempty"`
	Agent     Process        `json:"agent"`

	Controller *Contact `json:"controller,omitempty"` // absent where plans come by hand
}

// PlanStatus tells which plan is wanted and which the machine follows.
type PlanStatus struct {
	File     string   `json:"file"`
	Wanted   string   `json:"wanted,omitempty"`  // revision of the last good plan
	Applied  string   `json:"applied,omitempty"` // revision that the machine was last found to be in full
	Refused  *Refusal `json:"refused,omitempty"` // why the file is not what is wanted
	Refusals int      `json:"refusals"`
}

// BackendStatus tells what carries new devices, and why.
type BackendStatus struct {
	Kind wireguard.Backend `json:"kind"`
	Why  string            `json:"why"`
}

// RouteStatus counts prefixes.
type RouteStatus struct {
	Wanted    int `json:"wanted"`
	Installed int `json:"installed"`
}

// FirewallStatus tells whether the table is there, and what it dropped since it was made.
type FirewallStatus struct {
	InPlace bool              `json:"inPlace"`
	Dropped map[string]uint64 `json:"dropped,omitempty"` // packets, by why
	Answers uint64            `json:"answers,omitempty"` // packets that passed as answers to what another gateway saw
}

// Process names the agent that answers.
type Process struct {
	PID     int        `json:"pid"`
	Since   time.Time  `json:"since"`
	Version build.Info `json:"version"`
}

// DeviceStatus is a device of the plan, as it is.
type DeviceStatus struct {
	Name       string            `json:"name"`
	Backend    wireguard.Backend `json:"backend,omitempty"`
	Offload    string            `json:"offload,omitempty"`
	Up         bool              `json:"up"`
	MTU        int               `json:"mtu"`
	ListenPort uint16            `json:"listenPort"`
	PublicKey  key.Public        `json:"publicKey,omitzero"`
	Addresses  []netip.Prefix    `json:"addresses"`
	Peers      []PeerStatus      `json:"peers"`
}

// A PeerState says how a session is.
type PeerState string

const (
	Up      PeerState = "up"      // a session that packets can use now
	Idle    PeerState = "idle"    // no session, and nobody needs one: it is made with the next packet
	Pending PeerState = "pending" // its key is not known yet
	Stale   PeerState = "stale"   // no session, although this side keeps it open: it does not answer
)

// PeerStatus is a peer of the plan, as it is.
type PeerStatus struct {
	Gateway   string         `json:"gateway"`
	State     PeerState      `json:"state"`
	Standby   bool           `json:"standby,omitempty"`
	PublicKey key.Public     `json:"publicKey,omitzero"`
	Endpoint  netip.AddrPort `json:"endpoint,omitzero"`    // where its last packet came from, or what was set
	Handshake *time.Time     `json:"handshake,omitempty"`  // the last one; absent: never
	Age       *float64       `json:"ageSeconds,omitempty"` // of that handshake
	Received  uint64         `json:"receivedBytes"`
	Sent      uint64         `json:"sentBytes"`
}

// rejectAfter is how long a session carries packets after its handshake (REJECT_AFTER_TIME, whitepaper, section 6.5).
const rejectAfter = 180 * time.Second

// stateOf tells how the session with a peer is; found is nil where the device does not know the peer.
func stateOf(want *plan.Peer, found *wireguard.Peer, now time.Time) PeerState {
	switch {
	case want.PublicKey.IsZero():
		return Pending
	case found != nil && !found.LastHandshake.IsZero() && now.Sub(found.LastHandshake) < rejectAfter:
		return Up
	case want.Keepalive > 0:
		return Stale
	}
	return Idle
}

// passMost is the age from which the last look at the machine is too old to vouch for anything: the rest after the longest pass
// and that pass itself would be longer, and then it is true that nobody knows.
const passMost = 15 * time.Second

// deviceStatus describes a device of the plan; found is nil where there is none.
func deviceStatus(want *plan.Device, found *wireguard.Device, now time.Time) DeviceStatus {
	if found == nil {
		found = &wireguard.Device{Name: want.Name}
	}
	out := DeviceStatus{found.Name, found.Backend, found.Offload, found.Up, found.MTU, found.ListenPort, found.PublicKey,
		found.Addresses, make([]PeerStatus, 0, len(want.Peers))}
	peers := make(map[key.Public]*wireguard.Peer, len(found.Peers))
	for i := range found.Peers {
		peers[found.Peers[i].PublicKey] = &found.Peers[i]
	}
	for _, p := range want.Peers {
		out.Peers = append(out.Peers, peerStatus(p, peers[p.PublicKey], now))
	}
	return out
}

func peerStatus(want *plan.Peer, found *wireguard.Peer, now time.Time) PeerStatus {
	out := PeerStatus{Gateway: want.Gateway, State: stateOf(want, found, now), Standby: want.Standby, PublicKey: want.PublicKey}
	if found == nil {
		return out
	}
	out.Endpoint, out.Received, out.Sent = found.Endpoint, found.Received, found.Sent
	if !found.LastHandshake.IsZero() {
		at, age := found.LastHandshake, max(0, now.Sub(found.LastHandshake).Seconds())
		out.Handshake, out.Age = &at, &age
	}
	return out
}

// A sighting is what a look at the machine found.
type sighting struct {
	at       time.Time // when it began
	devices  []wireguard.Device
	routes   int
	counters firewall.Counters
	rules    bool
	err      error
}

// look observes the machine for those who ask. Answers within the same half second are one look, unless the machine was changed
// since it began.
func (a *Agent) look(ctx context.Context) sighting {
	a.lookMu.Lock()
	defer a.lookMu.Unlock()
	a.mu.Lock()
	changed := a.record.changed
	a.mu.Unlock()
	if time.Since(a.seen.at) < time.Second/2 && a.seen.at.After(changed) {
		return a.seen
	}
	s := sighting{at: time.Now()}
	var errDevices, errRoutes, errRules error
	s.devices, errDevices = a.machine.devices.Observe(ctx)
	routes, errRoutes := a.machine.routes.Observe(ctx)
	s.routes = len(routes.Routes)
	a.machine.firewallMu.Lock()
	s.counters, errRules = a.machine.firewall.Counters(ctx)
	a.machine.firewallMu.Unlock()
	s.rules = errRules == nil
	s.err = errors.Join(errDevices, errRoutes)
	a.seen = s
	return s
}

// Status tells how things are now.
func (a *Agent) Status(ctx context.Context) Status {
	a.mu.Lock()
	r := a.record.clone() // first, so that what is seen is not older than what is said of it
	a.mu.Unlock()
	s := a.look(ctx)
	spoken, errSpoken := a.spoken(ctx)

	now := time.Now()
	kind, why := a.machine.devices.Backend()
	out := Status{
		Plan:      PlanStatus{File: logs.Printable(a.opts.Plan), Applied: r.applied, Refused: r.refused, Refusals: r.refusals},
		Backend:   BackendStatus{kind, why},
		Devices:   []DeviceStatus{},
		Routes:    RouteStatus{Installed: s.routes},
		Firewall:  FirewallStatus{InPlace: s.rules, Dropped: dropped(s.counters), Answers: s.counters.Answers.Packets},
		LastApply: r.lastApply,
		Applies:   r.applies,
		Repairs:   r.repairs,
		Failures:  r.failures,
		Drained:   a.machine.drain.sinceWhen(),
		Agent:     Process{os.Getpid(), a.started, build.Read()},
	}
	if err := errors.Join(r.lastError, s.err, errSpoken); err != nil {
		out.LastError = logs.Printable(err.Error())
	}
	if r.wanted != nil {
		out.describe(r.wanted, s, now)
		if want := r.wanted.Gateway.BGP; want != nil {
			out.BGP = bgpStatus(want, spoken, out.Devices, a.hear(out.Devices, now))
			out.Table = a.holder.seen()
			out.BGP.Converged = a.burst.convergence()
		}
	}
	if a.opts.Contact != nil {
		out.Controller = a.opts.Contact().warn(now)
	}
	out.Reasons = out.reasons(r, now)
	out.Healthy = len(out.Reasons) == 0
	return out
}

// hear compares what came by the devices with the look before.
func (a *Agent) hear(devices []DeviceStatus, now time.Time) hearing {
	a.hearMu.Lock()
	defer a.hearMu.Unlock()
	return a.hears.hear(devices, now)
}

// Brief tells, without a look at the machine, the revision that it was last found to be in full, and why it is not as wanted.
func (a *Agent) Brief() (applied string, reasons []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch r := &a.record; {
	case r.wanted == nil:
		reasons = []string{"there is no plan yet"}
	case r.lastError != nil:
		reasons = []string{logs.Printable(r.lastError.Error())}
	case r.refused != nil:
		reasons = []string{logs.Printable(r.refused.Message)}
	}
	return a.record.applied, reasons
}

func (st *Status) describe(doc *plan.Document, s sighting, now time.Time) {
	g := &doc.Gateway
	st.Fabric, st.Gateway, st.Plan.Wanted = logs.Printable(doc.Fabric), g.Name, doc.Revision
	for i := range g.Devices {
		var found *wireguard.Device
		for j := range s.devices {
			if s.devices[j].Name == g.Devices[i].Name {
				found = &s.devices[j]
			}
		}
		st.Devices = append(st.Devices, deviceStatus(&g.Devices[i], found, now))
	}
	for _, r := range g.Routes {
		st.Routes.Wanted += len(r.Prefixes)
	}
}

// reasons returns why the gateway is not healthy: nothing, where the machine is as the plan in force says and its devices are up.
// A plan file that is refused is no reason: the last good plan is in force, and a bad plan that reaches every gateway must not
// make a balancer take all of them out.
func (st *Status) reasons(r record, now time.Time) []string {
	var out []string
	switch {
	case r.wanted == nil:
		return []string{"there is no plan yet"}
	case r.applied != r.wanted.Revision:
		out = append(out, "the plan is not applied")
	case r.lastError != nil:
		out = append(out, "the machine is not as the plan says")
	}
	if age := now.Sub(r.lastPass); age > passMost {
		out = append(out, "the machine was last looked at "+age.Round(time.Second).String()+" ago")
	}
	for _, d := range st.Devices {
		if !d.Up {
			out = append(out, "device "+d.Name+" is down")
		}
	}
	if !st.Firewall.InPlace {
		out = append(out, "the firewall cannot be read")
	}
	return slices.Concat(out, st.BGP.reasons(), st.Table.reasons())
}

func dropped(c firewall.Counters) map[string]uint64 {
	out := make(map[string]uint64, len(c.Dropped))
	for why, n := range c.Dropped {
		out[why] = n.Packets
	}
	return out
}
