package route

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"ropeway/internal/plan"
	"ropeway/internal/rtnl"
)

// Apply makes the routes what the plan wants and returns what it changed. The devices must exist and be up. Prefixes that
// somebody else routes come back as errors of type *Conflict (errors.As), as does whatever else the kernel refuses, at most 100 of them and a
// count of the others; the other routes are made all the same.
func (c *Client) Apply(ctx context.Context, want []*plan.Route) ([]Change, error) {
	conn, err := rtnl.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	wanted := desired(want)
	if err := check(want, wanted.Routes); err != nil {
		return nil, err
	}
	have, err := observe(ctx, conn)
	if err != nil {
		return nil, err
	}
	a := &applying{conn: conn}
	return a.run(ctx, diff(wanted, have))
}

// Remove deletes every route and nexthop object of ours.
func (c *Client) Remove(ctx context.Context) ([]Change, error) { return c.Apply(ctx, nil) }

// applying is one Apply under way.
type applying struct {
	conn   *rtnl.Conn
	done   []Change
	errs   []error
	failed int
}

func (a *applying) fail(err error) {
	if a.failed++; len(a.errs) < maxErrors {
		a.errs = append(a.errs, err)
	}
}

func (a *applying) run(ctx context.Context, changes []Change) ([]Change, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	names, err := deviceNames(a.conn)
	if err != nil {
		return nil, err
	}
	index := make(map[string]int, len(names))
	for i, name := range names {
		index[name] = i
	}
	first, routes, last := stages(changes)
	broken := a.nexthops(ctx, first, index)
	routes, err = a.sendable(routes, broken)
	if err == nil {
		err = a.routes(ctx, routes)
	}
	if err == nil {
		a.nexthops(ctx, last, index)
	}
	if err != nil {
		a.errs = append(a.errs, err)
	}
	if more := a.failed - maxErrors; more > 0 {
		a.errs = append(a.errs, fmt.Errorf("and %d more", more))
	}
	return a.done, errors.Join(a.errs...)
}

// stages splits changes in Diff's order: nexthop objects that come, routes, nexthop objects that go.
func stages(changes []Change) (first, routes, last []Change) {
	i := 0
	for i < len(changes) && (changes[i].Op == AddNexthop || changes[i].Op == ReplaceNexthop) {
		i++
	}
	j := i
	for j < len(changes) && changes[j].Op != DeleteNexthop {
		j++
	}
	return changes[:i], changes[i:j], changes[j:]
}

// nexthops carries out changes of nexthop objects and returns the ids of those that could not be.
func (a *applying) nexthops(ctx context.Context, changes []Change, index map[string]int) map[uint32]bool {
	broken := map[uint32]bool{}
	fail := func(c *Change, err error) {
		broken[c.Nexthop.ID] = true
		a.fail(fmt.Errorf("%s: %w", c, err))
	}
	for i := range changes { // a handful: one by one
		c := &changes[i]
		n, known := index[c.Device]
		if !known && c.Op != DeleteNexthop {
			fail(c, errors.New("there is no such device"))
			continue
		}
		before := len(broken)
		err := a.conn.Execute(ctx, 1, func(b *rtnl.Builder, _ int) { appendNexthop(b, c.Op, c.Nexthop, n) }, func(_ int, err error) {
			if c.Op == DeleteNexthop && errors.Is(err, unix.ENOENT) {
				return // it went with its device
			}
			fail(c, explain(err))
		})
		if err != nil {
			fail(c, err)
		}
		if len(broken) == before {
			a.done = append(a.done, *c)
		}
	}
	return broken
}

// explain says in words what the kernel means by a number where that is not plain.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.ENETDOWN):
		return fmt.Errorf("the device is down: %w", err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("the kernel has no nexthop objects, which came with Linux 5.3: %w", err)
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("somebody else has a nexthop object of that id: %w", err)
	}
	return err
}

// sendable leaves out the routes whose nexthop object could not be made, which has been told, and those that would be hidden by a route of
// somebody else with a smaller metric. There are such in IPv6 only, where the kernel's own have 256; in IPv4 ours is the smallest.
func (a *applying) sendable(routes []Change, broken map[uint32]bool) ([]Change, error) {
	hidden := prefixesOf(routes, AddRoute, func(p netip.Prefix) bool { return p.Addr().Is6() })
	if len(hidden) > 0 {
		taken := map[netip.Prefix]bool{}
		err := rtnl.Again(func() error {
			return dumpRoutes(a.conn, unix.AF_INET6, 0, func(r Route, protocol byte) {
				if protocol != Protocol && hidden[r.Prefix] && r.Metric < metric(r.Prefix) {
					taken[r.Prefix] = true
				}
			})
		})
		if err != nil {
			return nil, fmt.Errorf("look for routes of others: %w", err)
		}
		hidden = taken
	}
	if len(broken)+len(hidden) == 0 {
		return routes, nil
	}
	var out []Change
	for _, c := range routes {
		switch {
		case c.Op == AddRoute && hidden[c.Route.Prefix]:
			a.fail(&Conflict{c.Route.Prefix})
		case c.Op == DeleteRoute || !broken[c.Route.Nexthop]:
			out = append(out, c)
		}
	}
	return out, nil
}

// routes sends changes of routes in batches.
func (a *applying) routes(ctx context.Context, changes []Change) error {
	refused := map[int]bool{}
	sent := 0
	err := a.conn.Execute(ctx, len(changes), func(b *rtnl.Builder, i int) {
		appendRoute(b, &changes[i])
		sent = i + 1
	}, func(i int, err error) {
		c := &changes[i]
		if c.Op == DeleteRoute && errors.Is(err, unix.ESRCH) {
			return // it went with its device, or somebody was faster
		}
		refused[i] = true
		if c.Op == AddRoute && errors.Is(err, unix.EEXIST) {
			a.fail(&Conflict{c.Route.Prefix})
			return
		}
		a.fail(fmt.Errorf("%s: %w", c, err))
	})
	for i := range sent {
		if !refused[i] {
			a.done = append(a.done, changes[i])
		}
	}
	if err != nil {
		return fmt.Errorf("change the routes: %w", err)
	}
	return nil
}

// Move sends everything that leaves by one device out of another, at once: one message for each family and MTU. The next Apply of a plan that has not
// changed moves it back.
func (c *Client) Move(ctx context.Context, from, to string) error {
	conn, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	links, err := conn.Links()
	if err != nil {
		return fmt.Errorf("list the interfaces: %w", err)
	}
	target := 0
	for _, l := range links {
		if l.Name == to && validDevice(to) {
			target = l.Index
		}
	}
	if target == 0 {
		return fmt.Errorf("move the routes: there is no device of that name to take them")
	}
	base := ids([]string{from})[from]
	var moved []Nexthop
	if err := dumpNexthops(conn, func(h Nexthop, _ int) {
		if h.ID&deviceBits == base {
			moved = append(moved, h)
		}
	}); err != nil {
		return fmt.Errorf("list the nexthop objects: %w", err)
	}
	var failed error
	err = conn.Execute(ctx, len(moved), func(b *rtnl.Builder, i int) {
		appendNexthop(b, ReplaceNexthop, moved[i], target)
	}, func(_ int, err error) { failed = errors.Join(failed, explain(err)) })
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("move the routes: %w", err)
	}
	return nil
}
