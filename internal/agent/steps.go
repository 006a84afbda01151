package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"ropeway/internal/diag"
	"ropeway/internal/failpoint"
	"ropeway/internal/firewall"
	"ropeway/internal/identity"
	"ropeway/internal/key"
	"ropeway/internal/plan"
	"ropeway/internal/route"
	"ropeway/internal/tune"
	"ropeway/internal/wireguard"
)

// A machine is the hands of one gateway, bound together.
type machine struct {
	firewallMu sync.Mutex // a firewall.Client serves one goroutine at a time
	firewall   *firewall.Client
	devices    *wireguard.Client
	sysctls    *tune.Client
	routes     *route.Client
	keys       identity.Store
	speaker    *speaker
	drain      *drain
	endpoints  *endpoints
}

func newMachine(opts Options) *machine {
	heard := &endpoints{file: filepath.Join(opts.State, endpointsName)}
	m := &machine{
		firewall:  firewall.New(),
		devices:   wireguard.New(wireguard.Options{LogDir: opts.Run, Recall: heard.recall}),
		sysctls:   tune.New(tune.Options{State: filepath.Join(opts.State, "sysctls.json")}),
		routes:    route.New(),
		keys:      identity.In(opts.State),
		drain:     &drain{file: filepath.Join(opts.State, drainName)},
		endpoints: heard,
	}
	m.speaker = &speaker{daemons: opts.Daemons, password: m.keys.Password, drained: m.drain.drained}
	return m
}

// A step is one part of making a machine what a plan says. It begins from what is there and returns a line for each thing that it
// changed, also where it failed.
type step struct {
	name  string
	take  func(context.Context, *plan.Gateway) ([]string, error)
	vital bool // nothing that follows may be done where it failed
	once  bool // there is nothing to do on a machine that is settled on the plan, and looking costs
}

// keepStep is the name of what comes before every other step of a new plan: it is kept on disk.
const keepStep = "keep"

// steps returns what makes the machine so, in order.
//
// The firewall comes first: nothing is up before what must not pass is dropped; without it nothing else is done. What the plan no
// longer wants goes from the outside inwards: routes are withdrawn before the peers and devices that carried them. What it newly
// wants comes from the inside outwards: device (made down; key, peers, addresses; then up), settings (some belong to the device),
// routes, and last the routing daemon, whose sessions run over all of that; it is the first to go. A prefix that changes its peer is in no case withdrawn: the device hands it over in one message. Removing comes before
// adding because it must not wait for anything that can fail: a peer that was revoked loses its access even where a new route is
// in conflict.
func (m *machine) steps() []step {
	return []step{
		{name: "firewall", take: m.filter, vital: true},
		{name: "withdraw", take: m.withdraw, once: true},
		{name: "devices", take: m.connect},
		{name: "sysctls", take: m.tune},
		{name: "routes", take: m.route},
		{name: "bgp", take: m.speak},
	}
}

// compareStep is the name of what follows the others where one of them changed something.
const compareStep = "compare"

// StepNames returns the steps of applying a plan, in order.
func StepNames() []string {
	names := []string{keepStep}
	for _, s := range new(machine).steps() {
		names = append(names, s.name)
	}
	return append(names, compareStep)
}

// An outcome is what a pass did.
type outcome struct {
	changes map[string][]string // by step
	errs    map[string]error    // by step
}

func (o *outcome) err() error {
	var all []error
	for _, name := range StepNames() {
		if err := o.errs[name]; err != nil {
			all = append(all, fmt.Errorf("%s step %s: %w", stepCode(name), name, err))
		}
	}
	return errors.Join(all...)
}

func stepCode(name string) diag.Code {
	if name == compareStep {
		return codeReadBack
	}
	return codeStepFailed
}

// apply takes every step, and compares where something changed or the machine is not settled on the plan: it was not found to be as
// the plan says when it was last looked at.
func (m *machine) apply(ctx context.Context, want *plan.Gateway, settled bool) *outcome {
	out := &outcome{changes: map[string][]string{}, errs: map[string]error{}}
	certain := !settled
	for _, s := range m.steps() {
		if s.once && settled {
			continue // should a route of ours have come that nobody wants, the step that makes routes takes it away
		}
		changes, err := s.take(ctx, want)
		if len(changes) > 0 {
			out.changes[s.name] = changes
			certain = true
		}
		if err != nil {
			out.errs[s.name] = err
			if s.vital {
				return out
			}
		}
		failpoint.After(s.name)
	}
	if certain {
		if err := m.compare(ctx, want, out.errs); err != nil {
			out.errs[compareStep] = err
		}
		failpoint.After(compareStep)
	}
	return out
}

func (m *machine) filter(ctx context.Context, want *plan.Gateway) ([]string, error) {
	m.firewallMu.Lock()
	defer m.firewallMu.Unlock()
	change, err := m.firewall.Apply(ctx, want)
	if change == nil || change.Empty() {
		return nil, err
	}
	return change.Lines(), err
}

// withdraw ends the sessions that the plan no longer has, and takes away the routes whose prefixes it no longer names.
func (m *machine) withdraw(ctx context.Context, want *plan.Gateway) ([]string, error) {
	ended, errSessions := m.speaker.withdraw(ctx, want.BGP)
	have, err := m.routes.Observe(ctx)
	if err != nil {
		return ended, errors.Join(errSessions, err)
	}
	kept, all := stillWanted(want.Routes, have)
	if all {
		return ended, errSessions
	}
	changes, err := m.routes.Apply(ctx, kept)
	return append(ended, lines(changes)...), errors.Join(errSessions, err)
}

func (m *machine) connect(ctx context.Context, want *plan.Gateway) ([]string, error) {
	changes, err := m.devices.Apply(ctx, want.Devices, m.privateKeys(want))
	return lines(changes), err
}

func (m *machine) tune(ctx context.Context, want *plan.Gateway) ([]string, error) {
	changes, err := m.sysctls.Apply(ctx, want.Sysctls)
	return lines(changes), err
}

func (m *machine) route(ctx context.Context, want *plan.Gateway) ([]string, error) {
	changes, err := m.routes.Apply(ctx, want.Routes)
	return lines(changes), err
}

func (m *machine) speak(ctx context.Context, want *plan.Gateway) ([]string, error) {
	return m.speaker.apply(ctx, want.BGP)
}

// compare reads everything back and returns an error that says what is not as wanted. What a step has already reported as failed
// is not said again.
func (m *machine) compare(ctx context.Context, want *plan.Gateway, failed map[string]error) error {
	differ, err := m.differences(ctx, want, m.privateKeys(want))
	errs := []error{err}
	for _, name := range []string{"firewall", "devices", "sysctls", "routes", "bgp"} {
		if l := differ[name]; len(l) > 0 && failed[name] == nil {
			errs = append(errs, fmt.Errorf("%s: %d are not as they were set, first: %s", name, len(l), l[0]))
		}
	}
	return errors.Join(errs...)
}

// differences returns what each step would change now, and changes nothing.
func (m *machine) differences(ctx context.Context, want *plan.Gateway, keys wireguard.Keys) (map[string][]string, error) {
	differ := map[string][]string{}
	m.firewallMu.Lock()
	rules, errRules := m.firewall.Observe(ctx)
	m.firewallMu.Unlock()
	if errRules == nil {
		differ["firewall"] = firewall.Diff(rules, firewall.Compile(want)).Lines()
	}
	devices, errDevices := m.devices.Plan(ctx, want.Devices, keys)
	differ["devices"] = lines(devices)
	settings, errSettings := m.sysctls.Observe(ctx, want.Sysctls)
	if errSettings == nil {
		differ["sysctls"] = lines(tune.Diff(want.Sysctls, settings))
	}
	routes, errRoutes := m.routes.Observe(ctx)
	if errRoutes == nil {
		differ["routes"] = lines(route.Diff(want.Routes, routes))
	}
	sessions, errSessions := m.speaker.plan(ctx, want.BGP)
	differ["bgp"] = sessions
	return differ, errors.Join(errRules, errDevices, errSettings, errRoutes, errSessions)
}

// remove takes everything away, from the outside inwards.
func (m *machine) remove(ctx context.Context) error {
	_, errSessions := m.speaker.silence(ctx)
	_, errRoutes := m.routes.Remove(ctx)
	_, errDevices := m.devices.Remove(ctx)
	_, errSettings := m.sysctls.Remove(ctx)
	m.firewallMu.Lock()
	defer m.firewallMu.Unlock()
	return errors.Join(errSessions, errRoutes, errDevices, errSettings, m.firewall.Remove(ctx))
}

// privateKeys finds the key of each device, and refuses one that is not the key that the plan names: everybody else would wait
// for that one.
func (m *machine) privateKeys(want *plan.Gateway) wireguard.Keys {
	return func(device string) (key.Private, error) {
		k, _, err := m.keys.Of(device)
		if err != nil {
			return key.Private{}, err
		}
		if d := want.Device(device); d != nil && !d.PublicKey.IsZero() && k.Public() != d.PublicKey {
			return key.Private{}, otherKey(d, k.Public())
		}
		return k, nil
	}
}

func otherKey(d *plan.Device, have key.Public) error {
	return diag.Problem{Code: codePlanKey, Severity: diag.Error, Subject: "device " + d.Name,
		Message: fmt.Sprintf("the plan expects public key %s, and this gateway's is %s", d.PublicKey, have),
		Hint:    "make this key known to the fabric (ropeway keys add) and bring the new plan here"}
}

func lines[C fmt.Stringer](changes []C) []string {
	if len(changes) == 0 {
		return nil
	}
	out := make([]string, len(changes))
	for i, c := range changes {
		out[i] = c.String()
	}
	return out
}
