package bird

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"ropeway/internal/bgp"
)

// The questions of an observation, in the order of their answers.
var questions = []string{
	"show status", "show protocols all", "show bfd sessions",
	"show route all table master4", "show route all table master6", "show route table master4 export kernel4", "show route table master6 export kernel6",
}

// Observe implements bgp.Daemon. All is asked in one conversation, but BIRD goes on in between: a route may be told of whose session is not.
func (d *Daemon) Observe(ctx context.Context) (*bgp.State, error) {
	pid, _, err := d.pid()
	if err != nil || pid == 0 {
		return &bgp.State{}, err
	}
	replies, err := ask(ctx, d.path(socketName), questions...)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) { // it is ending
		return &bgp.State{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask BIRD: %w", err)
	}
	version, now := parseStatus(replies[0])
	sessions := parseProtocols(replies[1], now)
	return &bgp.State{
		Running: true, Version: version,
		Neighbors: neighbors(sessions, parseBFD(replies[2])),
		Routes:    routes(sessions, slices.Concat(parseRoutes(replies[3]), parseRoutes(replies[4])), slices.Concat(parseRoutes(replies[5]), parseRoutes(replies[6]))),
	}, nil
}

// neighbors joins sessions with what watches them.
func neighbors(sessions []session, watched map[netip.Addr]string) []bgp.Neighbor {
	list := make([]bgp.Neighbor, 0, len(sessions))
	for _, s := range sessions {
		s.BFD = watched[s.Address]
		list = append(list, s.Neighbor)
	}
	slices.SortFunc(list, bgp.ByName)
	return list
}

// Watched implements bgp.Daemon.
func (d *Daemon) Watched(ctx context.Context) (map[netip.Addr]string, error) {
	replies, err := ask(ctx, d.path(socketName), "show bfd sessions")
	if err != nil {
		return nil, fmt.Errorf("ask BIRD whom it watches: %w", err)
	}
	return parseBFD(replies[0]), nil
}

// routes tells of the routes that are known which come from a session or are originated. Carried are those that the kernel has: of a prefix that several lead
// to, one with all their hops.
func routes(sessions []session, known, carried []route) []bgp.Route {
	names := map[string]string{"own4": "", "own6": ""}
	for _, s := range sessions {
		names[s.protocol] = s.Name
	}
	type way struct {
		prefix netip.Prefix
		hop    hop
	}
	carries := map[way]bool{}
	for _, r := range carried {
		for _, h := range r.hops {
			carries[way{r.Prefix, h}] = true
		}
	}
	list := []bgp.Route{}
	for _, r := range known {
		name, ours := names[r.protocol]
		if !ours {
			continue
		}
		r.Neighbor, r.Best = name, r.primary && name == ""
		for _, h := range r.hops {
			r.Device, r.Best = h.device, r.Best || carries[way{r.Prefix, h}]
			if !r.NextHop.IsValid() {
				r.NextHop = h.gateway
			}
		}
		list = append(list, r.Route)
	}
	slices.SortStableFunc(list, func(a, b bgp.Route) int {
		return cmp.Or(bgp.BestFirst(a, b), -cmp.Compare(a.LocalPreference, b.LocalPreference),
			cmp.Compare(len(a.Path), len(b.Path)), cmp.Compare(a.Metric, b.Metric), strings.Compare(a.Neighbor, b.Neighbor), a.NextHop.Compare(b.NextHop))
	})
	return list
}
