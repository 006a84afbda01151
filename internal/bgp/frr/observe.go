package frr

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"ropeway/internal/bgp"
	"ropeway/internal/fabric"
	"ropeway/internal/plan"
)

// Observe implements bgp.Daemon.
func (d *Daemon) Observe(ctx context.Context) (*bgp.State, error) {
	s := &bgp.State{Neighbors: []bgp.Neighbor{}, Routes: []bgp.Route{}}
	for _, name := range daemons() {
		if d.pid(name) == 0 {
			return s, nil
		}
	}
	s.Running = true
	version, err := d.ask(ctx, "bgpd", "show version")
	if err != nil {
		return nil, err
	}
	s.Version = parseVersion(string(version))
	watched, err := d.ask(ctx, "bfdd", "show bfd peers json")
	if err != nil {
		return nil, err
	}
	neighbors, err := d.ask(ctx, "bgpd", "show bgp neighbors json")
	if err != nil {
		return nil, err
	}
	if s.Neighbors, err = parseNeighbors(neighbors, watched); err != nil {
		return nil, err
	}
	from, err := sessionsOf(neighbors)
	if err != nil {
		return nil, err
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		text, err := d.ask(ctx, "bgpd", "show bgp "+family+" unicast json detail")
		if err != nil {
			return nil, err
		}
		routes, err := parseRoutes(text, from)
		if err != nil {
			return nil, err
		}
		s.Routes = append(s.Routes, routes...)
	}
	return s, nil
}

// parseVersion reads "FRRouting 8.4.4 (host) on Linux(6.1)."
func parseVersion(text string) string {
	words := strings.Fields(text)
	if len(words) < 2 || words[0] != "FRRouting" {
		return "FRR"
	}
	return "FRR " + words[1]
}

// A neighborJSON is what bgpd says of a neighbour.
type neighborJSON struct {
	RemoteAs    uint32 `json:"remoteAs"`
	Description string `json:"nbrDesc"`
	State       string `json:"bgpState"`
	UpFor       uint64 `json:"bgpTimerUpMsec"`
	Down        uint64 `json:"lastResetTimerMsecs"`
	Dropped     uint32 `json:"connectionsDropped"`
	LastError   string `json:"lastResetDueTo"`
	Families    map[string]struct {
		Accepted uint32 `json:"acceptedPrefixCounter"`
		Sent     uint32 `json:"sentPrefixCounter"`
	} `json:"addressFamilyInfo"`
}

// parseNeighbors reads what bgpd says of its neighbours and bfdd of whom it watches. What cannot be read of one is an error: half an answer is none.
func parseNeighbors(neighbors, watched []byte) ([]bgp.Neighbor, error) {
	var byAddress map[string]json.RawMessage
	if err := json.Unmarshal(neighbors, &byAddress); err != nil {
		return nil, fmt.Errorf("read FRR's neighbours: %w", err)
	}
	status, err := parseWatched(watched)
	if err != nil {
		return nil, err
	}
	out := []bgp.Neighbor{}
	for _, key := range slices.Sorted(maps.Keys(byAddress)) {
		a, err := netip.ParseAddr(key)
		if err != nil {
			continue // something about all of them
		}
		var n neighborJSON
		if err := json.Unmarshal(byAddress[key], &n); err != nil {
			return nil, fmt.Errorf("read FRR's neighbour %s: %w", a, err)
		}
		x := bgp.Neighbor{
			Name: n.Description, Address: a, ASN: n.RemoteAs, State: sessionState(n.State), Since: milliseconds(n.Down), Flaps: int(n.Dropped), BFD: status[a],
		}
		if x.Up = x.State == established; x.Up {
			x.Since = milliseconds(n.UpFor)
		} else {
			x.LastError = n.LastError
		}
		for _, f := range n.Families {
			x.Received += int(f.Accepted)
			x.Sent += int(f.Sent)
		}
		out = append(out, x)
	}
	slices.SortFunc(out, bgp.ByName)
	return out, nil
}

// Watched implements bgp.Daemon.
func (d *Daemon) Watched(ctx context.Context) (map[netip.Addr]string, error) {
	text, err := d.ask(ctx, "bfdd", "show bfd peers json")
	if err != nil {
		return nil, err
	}
	return parseWatched(text)
}

// parseWatched reads whom bfdd watches.
func parseWatched(text []byte) (map[netip.Addr]string, error) {
	var peers []struct{ Peer, Status string }
	if err := json.Unmarshal(text, &peers); err != nil {
		return nil, fmt.Errorf("read FRR's BFD sessions: %w", err)
	}
	states := map[netip.Addr]string{}
	for _, p := range peers {
		if a, err := netip.ParseAddr(p.Peer); err == nil {
			states[a] = watchState(p.Status)
		}
	}
	return states, nil
}

// isEstablished reports whether the session with an address is up.
func isEstablished(neighbors []byte, address string) (bool, error) {
	var byAddress map[string]json.RawMessage
	if err := json.Unmarshal(neighbors, &byAddress); err != nil {
		return false, fmt.Errorf("read FRR's neighbours: %w", err)
	}
	var n neighborJSON
	if raw, known := byAddress[address]; known {
		if err := json.Unmarshal(raw, &n); err != nil {
			return false, fmt.Errorf("read FRR's neighbour %s: %w", address, err)
		}
	}
	return n.State == established, nil
}

const established = "Established"

// sessionState translates bgpd's states: it has two more than RFC 4271, for sessions that it takes down.
func sessionState(s string) string {
	switch s {
	case "Connect", "Active", "OpenSent", "OpenConfirm", established:
		return s
	}
	return "Idle"
}

// longest is more than any session was up.
const longest = 100 * 365 * 24 * time.Hour

func milliseconds(n uint64) time.Duration {
	return time.Duration(min(n, uint64(longest/time.Millisecond))) * time.Millisecond
}

// watchState translates bfdd's words.
func watchState(s string) string {
	if s == "shutdown" {
		return "admin-down"
	}
	return s
}

// A routeJSON is a path as bgpd tells it.
type routeJSON struct {
	Aspath struct {
		String string `json:"string"`
	} `json:"aspath"`
	LocPrf  *uint32 `json:"locPrf"`
	Metric  uint32  `json:"metric"`
	Sourced bool    `json:"sourced"`
	Best    struct {
		Overall bool `json:"overall"`
	} `json:"bestpath"`
	Multipath bool `json:"multipath"`
	Standard  struct {
		String string `json:"string"`
	} `json:"community"`
	Large struct {
		String string `json:"string"`
	} `json:"largeCommunity"`
	Nexthops []struct {
		IP    string `json:"ip"`
		Scope string `json:"scope"`
	} `json:"nexthops"`
	Peer struct {
		PeerID string `json:"peerId"`
	} `json:"peer"`
}

// A session is whom a route was learnt from, and the device towards him.
type session struct{ name, device string }

// sessionsOf returns the sessions of neighbours by their addresses. The device is the one that has this end's address.
func sessionsOf(neighbors []byte) (map[netip.Addr]session, error) {
	var byAddress map[string]json.RawMessage
	if err := json.Unmarshal(neighbors, &byAddress); err != nil {
		return nil, fmt.Errorf("read FRR's neighbours: %w", err)
	}
	devices, err := addresses()
	if err != nil {
		return nil, err
	}
	out := map[netip.Addr]session{}
	for key, raw := range byAddress {
		var n struct {
			Description string `json:"nbrDesc"`
			Local       string `json:"hostLocal"`
		}
		a, err := netip.ParseAddr(key)
		if err != nil || json.Unmarshal(raw, &n) != nil {
			continue
		}
		local, _ := netip.ParseAddr(n.Local)
		out[a] = session{n.Description, devices[local]}
	}
	return out, nil
}

// addresses returns the interfaces of the namespace by their addresses.
func addresses() (map[netip.Addr]string, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	out := map[netip.Addr]string{}
	for _, i := range interfaces {
		list, err := i.Addrs()
		if err != nil {
			continue // it has gone meanwhile
		}
		for _, a := range list {
			if n, ok := a.(*net.IPNet); ok {
				if addr, ok := netip.AddrFromSlice(n.IP); ok {
					out[addr.Unmap()] = i.Name
				}
			}
		}
	}
	return out, nil
}

// parseRoutes reads all paths of a family. from are the sessions of neighbours.
func parseRoutes(text []byte, from map[netip.Addr]session) ([]bgp.Route, error) {
	var table struct {
		Routes map[string]json.RawMessage `json:"routes"`
	}
	if err := json.Unmarshal(text, &table); err != nil {
		return nil, fmt.Errorf("read FRR's routes: %w", err)
	}
	out := []bgp.Route{}
	for key, raw := range table.Routes {
		prefix, err := netip.ParsePrefix(key)
		if err != nil {
			return nil, fmt.Errorf("read FRR's routes: %w", err)
		}
		paths, err := pathsOf(raw)
		if err != nil {
			return nil, fmt.Errorf("read FRR's routes to %s: %w", prefix, err)
		}
		for i := range paths {
			if paths[i].Peer.PeerID == "" {
				continue // the first says something of all of them
			}
			out = append(out, paths[i].route(prefix, from))
		}
	}
	slices.SortStableFunc(out, func(a, b bgp.Route) int {
		return cmp.Or(bgp.BestFirst(a, b), strings.Compare(a.Neighbor, b.Neighbor), a.NextHop.Compare(b.NextHop))
	})
	return out, nil
}

// pathsOf reads the paths of a prefix: a list of them, or an object that holds it, as later versions write.
func pathsOf(raw json.RawMessage) ([]routeJSON, error) {
	var list []routeJSON
	if err := json.Unmarshal(raw, &list); err == nil {
		return list, nil
	}
	var object struct {
		Paths []routeJSON `json:"paths"`
	}
	err := json.Unmarshal(raw, &object)
	return object.Paths, err
}

func (r *routeJSON) route(prefix netip.Prefix, from map[netip.Addr]session) bgp.Route {
	out := bgp.Route{Prefix: prefix, LocalPreference: plan.DefaultLocalPreference, Metric: r.Metric, Best: r.Best.Overall || r.Multipath}
	if r.LocPrf != nil {
		out.LocalPreference = *r.LocPrf
	}
	if peer, err := netip.ParseAddr(r.Peer.PeerID); err == nil && !r.Sourced {
		out.Neighbor, out.Device = from[peer].name, from[peer].device
	}
	for _, h := range r.Nexthops {
		if a, err := netip.ParseAddr(h.IP); err == nil && h.Scope != "link-local" && !a.IsUnspecified() {
			out.NextHop = a
		}
	}
	for _, word := range strings.Fields(r.Aspath.String) {
		if n, err := strconv.ParseUint(word, 10, 32); err == nil {
			out.Path = append(out.Path, uint32(n))
		}
	}
	for _, word := range strings.Fields(r.Standard.String) {
		if c, err := fabric.ParseCommunity(cmp.Or(orderNamed(word), word)); err == nil {
			out.Communities = append(out.Communities, c)
		}
	}
	for _, word := range strings.Fields(r.Large.String) {
		c, err := fabric.ParseCommunity(word)
		if t, found := strings.CutPrefix(word, tags); found {
			if n, err := strconv.ParseUint(t, 10, 32); err == nil {
				out.Tags = append(out.Tags, uint32(n))
			}
		} else if err == nil && !strings.HasPrefix(word, ours) {
			out.Communities = append(out.Communities, c)
		}
	}
	return out
}

// orderNamed returns the community that FRR calls by a name, of those that routes of a fabric can have.
func orderNamed(word string) string {
	switch word {
	case "graceful-shutdown":
		return "65535:0"
	case "no-export":
		return "65535:65281"
	case "no-advertise":
		return "65535:65282"
	case "local-AS":
		return "65535:65283"
	}
	return ""
}
