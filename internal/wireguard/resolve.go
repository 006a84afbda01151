package wireguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"ropeway/internal/fabric"
	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// A Lookup returns the addresses of a DNS name, best first.
type Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

// Bounds of looking up names.
const (
	lookupTimeout = 2 * time.Second  // for all the names of one Apply: the rest of it must not wait
	lookupSoon    = time.Second      // after the first failure: a resolver that has just started may answer now
	lookupAgain   = 10 * time.Second // after many, each wait being twice the last: an Apply every second must not ask every second
	lookupsAtOnce = 16
)

// A resolver finds addresses of DNS names and keeps the answers until they are asked to be renewed: a session that works does not care
// what its name points at by now.
type resolver struct {
	lookup Lookup
	cache  map[string]answer
}

type answer struct {
	addr  netip.Addr
	err   error
	wait  time.Duration // after an error
	until time.Time     // of an error: when to ask again
}

func newResolver(lookup Lookup) resolver {
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	return resolver{lookup, map[string]answer{}}
}

// resolve returns the device with addresses in place of the names of its peers' endpoints. Where a name has no address the peer keeps the
// name, which Diff leaves alone, and the error tells so.
func (r *resolver) resolve(ctx context.Context, d plan.Device) (plan.Device, error) {
	var names []string
	for _, p := range d.Peers {
		if named(p) && !p.PublicKey.IsZero() {
			names = append(names, p.Endpoint.Host)
		}
	}
	if len(names) == 0 {
		return d, nil
	}
	r.ask(ctx, names)
	var errs []error
	d.Peers = slices.Clone(d.Peers)
	for i, p := range d.Peers {
		found, ok := r.cache[p.Endpoint.Host]
		if !ok {
			continue
		}
		if found.err != nil {
			errs = append(errs, fmt.Errorf("peer %s: %w", p.Gateway, found.err))
			continue
		}
		changed := *p
		changed.Endpoint = fabric.Endpoint{Host: found.addr.String(), Port: p.Endpoint.Port}
		d.Peers[i] = &changed
	}
	return d, errors.Join(errs...)
}

// named tells whether a peer's endpoint is a DNS name.
func named(p *plan.Peer) bool {
	if p.Endpoint.IsZero() {
		return false
	}
	_, literal := p.Endpoint.Addr()
	return !literal
}

// again returns those peers whose endpoint's name now means something else than what was set, or may after a failure; and the failures.
func (r *resolver) again(peers []*plan.Peer, set map[key.Public]netip.AddrPort) (out []*plan.Peer, errs []error) {
	now := time.Now()
	for _, p := range peers {
		switch a, known := r.cache[p.Endpoint.Host]; {
		case known && a.err != nil && now.Before(a.until):
			errs = append(errs, fmt.Errorf("peer %s: %w", p.Gateway, a.err))
		case !known || a.err != nil || set[p.PublicKey] != netip.AddrPortFrom(a.addr, p.Endpoint.Port):
			out = append(out, p)
		}
	}
	return out, errs
}

// renew asks again for a name. Where it has several addresses the next one gets its turn.
func (r *resolver) renew(ctx context.Context, hosts []string) {
	before := map[string]netip.Addr{}
	for _, h := range hosts {
		before[h] = r.cache[h].addr
		delete(r.cache, h)
	}
	r.askFor(ctx, hosts, before)
}

func (r *resolver) ask(ctx context.Context, hosts []string) { r.askFor(ctx, hosts, nil) }

// askFor looks up the names that are not known, several at once.
func (r *resolver) askFor(ctx context.Context, hosts []string, before map[string]netip.Addr) {
	now := time.Now()
	hosts = slices.DeleteFunc(slices.Clone(hosts), func(h string) bool {
		a, known := r.cache[h]
		return known && (a.err == nil || now.Before(a.until))
	})
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	places := make(chan struct{}, lookupsAtOnce)
	waits := make([]time.Duration, len(hosts))
	for i, h := range hosts {
		waits[i] = min(max(lookupSoon, 2*r.cache[h].wait), lookupAgain)
	}
	for i, h := range hosts {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			a := r.one(ctx, h, before[h])
			if a.err != nil {
				a.wait, a.until = waits[i], time.Now().Add(waits[i])
			}
			mu.Lock()
			defer mu.Unlock()
			r.cache[h] = a
		})
	}
	wg.Wait()
}

func (r *resolver) one(ctx context.Context, host string, before netip.Addr) answer {
	list, err := r.lookup(ctx, host)
	if err == nil && len(list) == 0 {
		err = errors.New("the name has no address")
	}
	if err != nil {
		err = fmt.Errorf("look up its endpoint %s: %w", fabric.Endpoint{Host: host}.Host, err)
		return answer{addr: before, err: err}
	}
	for i := range list {
		list[i] = list[i].Unmap().WithZone("")
	}
	next := (slices.Index(list, before) + 1) % len(list) // the first one where before is none of them
	return answer{addr: list[next]}
}
