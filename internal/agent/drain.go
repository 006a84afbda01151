package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ropeway/internal/diag"
	"ropeway/internal/files"
)

// drainName is a file of the state directory that is there while the gateway is drained.
const drainName = "drained.json"

// A drain is whether traffic is asked to use other gateways. An operator's word is kept on disk until he takes it back; that of an agent that ends lasts as
// long as the agent, and its successor knows nothing of it.
type drain struct {
	file string

	mu      sync.Mutex
	since   *time.Time
	leaving bool
}

type drainRecord struct {
	Since time.Time `json:"since"`
}

// restore finds what was said before this process began.
func (d *drain) restore() error {
	data, err := files.Read(d.file, 1<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var r drainRecord
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil { // somebody drained it, whenever that was: rather idle than in use while it is worked on
		r.Since = time.Now()
		err = fmt.Errorf("read since when the gateway is drained: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.since = &r.Since
	return err
}

// set drains the gateway and returns since when it is.
func (d *drain) set(now time.Time) (time.Time, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since != nil {
		return *d.since, nil
	}
	data, err := json.Marshal(drainRecord{now})
	if err != nil {
		return now, fmt.Errorf("write since when the gateway is drained: %w", err)
	}
	if err := files.Replace(d.file, append(data, '\n'), 0o600); err != nil {
		return now, unusable(filepath.Dir(d.file), err)
	}
	d.since = &now
	return now, nil
}

// lift takes it back, and reports whether there was anything to take back.
func (d *drain) lift() (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since == nil {
		return false, nil
	}
	err := os.Remove(d.file)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = files.SyncDir(filepath.Dir(d.file))
	}
	if err != nil {
		return false, unusable(filepath.Dir(d.file), err)
	}
	d.since = nil
	return true, nil
}

// leave drains the gateway for as long as this process lives.
func (d *drain) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leaving = true
}

func (d *drain) drained() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.since != nil || d.leaving
}

// sinceWhen returns when an operator drained the gateway; nil: he did not.
func (d *drain) sinceWhen() *time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.since
}

// A Drainage tells what came of draining a gateway.
type Drainage struct {
	Since   time.Time `json:"since"`
	Applied bool      `json:"applied"` // neighbours have been told
	Quiet   bool      `json:"quiet"`   // nothing was forwarded for two seconds
	Took    float64   `json:"tookSeconds"`
	Packets float64   `json:"packetsPerSecond"` // that are still forwarded
	Flows   []Flow    `json:"flows,omitempty"`  // by whom, the most first
}

// A Flow is what a tunnel carries while a gateway does not get quiet. Sessions and keepalives have part in it.
type Flow struct {
	Device   string  `json:"device"`
	Peer     string  `json:"peer"`
	Received float64 `json:"receivedBytesPerSecond"`
	Sent     float64 `json:"sentBytesPerSecond"`
}

// String returns a line such as "rwb2 use1-a: 1200 B/s in, 300 B/s out".
func (f Flow) String() string {
	return fmt.Sprintf("%s %s: %.0f B/s in, %.0f B/s out", f.Device, f.Peer, f.Received, f.Sent)
}

// Text says in a sentence what came of it.
func (d *Drainage) Text() string {
	took := time.Duration(d.Took * float64(time.Second)).Round(10 * time.Millisecond)
	switch {
	case d.Quiet:
		return fmt.Sprintf("drained and quiet after %s", took)
	case !d.Applied:
		return fmt.Sprintf("its neighbours have not been told within %s", took)
	}
	text := fmt.Sprintf("after %s it still forwards %.0f packets a second", took, d.Packets)
	if len(d.Flows) > 0 {
		lines := make([]string, len(d.Flows))
		for i, f := range d.Flows {
			lines[i] = f.String()
		}
		text += "; its tunnels carry, their sessions included, " + strings.Join(lines, ", ")
	}
	return text
}

// Drain has neighbours use other gateways where there are any, keeps it so until Undrain, and waits for at most as long as it is told until nothing is forwarded any more.
// Where it is not told to wait, the answer knows nothing of that.
func (a *Agent) Drain(ctx context.Context, wait time.Duration) (*Drainage, error) {
	if err := a.drainable(); err != nil {
		return nil, err
	}
	begun := time.Now()
	since, err := a.machine.drain.set(begun)
	if err != nil {
		return nil, err
	}
	a.log.Info("the gateway is drained")
	a.again()
	out, err := a.quieten(ctx, begun, wait)
	if out != nil {
		out.Since = since
	}
	return out, err
}

// Undrain takes it back. It reports whether the gateway was drained.
func (a *Agent) Undrain() (bool, error) {
	lifted, err := a.machine.drain.lift()
	if lifted {
		a.log.Info("the gateway is no longer drained")
		a.again()
	}
	return lifted, err
}

// depart drains a gateway whose agent ends, and says what came of it.
func (a *Agent) depart(ctx context.Context, wait time.Duration) {
	if err := a.drainable(); err != nil {
		a.log.Info("the gateway is not drained as its agent ends", "why", err)
		return
	}
	begun := time.Now()
	a.machine.drain.leave()
	a.again()
	out, err := a.quieten(ctx, begun, wait)
	if err != nil {
		a.log.Error("nobody knows whether the gateway is quiet", "error", err)
		return
	}
	a.log.Info("the agent ends, and the gateway is drained until the next one begins", "result", out.Text())
}

// drainable refuses to drain a gateway that nobody can be led around.
func (a *Agent) drainable() error {
	a.mu.Lock()
	want := a.record.wanted
	a.mu.Unlock()
	p := diag.Problem{Code: codeNotDrained, Severity: diag.Error, Subject: "drain"}
	switch {
	case want == nil:
		p.Message, p.Hint = "there is no plan yet", "ropeway-gateway status says why"
		return p
	case want.Gateway.BGP == nil:
		p.Subject = "gateway " + want.Gateway.Name
		p.Message = "its routes are static: no neighbour can be told to use another gateway"
		p.Hint = "take it out of the fabric file and apply that, so that others carry its routes; or give the fabric routing: {mode: bgp}"
		return p
	}
	return nil
}

// again has the loop pass over the machine at once, though it is as the plan says, and what changes then is no drift.
func (a *Agent) again() {
	a.update(func(r *record) { r.asked = true })
	poke(a.events.plan)
}

// mostFlows bounds how many tunnels are named.
const mostFlows = 5

// quieten waits until neighbours have been told, and then until nothing is forwarded.
func (a *Agent) quieten(ctx context.Context, begun time.Time, wait time.Duration) (*Drainage, error) {
	out := &Drainage{}
	if wait <= 0 {
		return out, nil
	}
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for !out.Applied && sleep(limited, settle) {
		a.mu.Lock()
		out.Applied = a.record.drained
		a.mu.Unlock()
	}
	if out.Applied {
		before := a.carried(ctx)
		from := time.Now()
		var err error
		if out.Quiet, out.Packets, err = awaitQuiet(limited, forwarded); err != nil {
			return nil, err
		}
		if !out.Quiet {
			out.Flows = flowsBetween(before, a.carried(ctx), time.Since(from))
		}
	}
	out.Took = time.Since(begun).Seconds()
	return out, ctx.Err()
}

// carried returns what each tunnel has carried, as far as that can be found out.
func (a *Agent) carried(ctx context.Context) []DeviceStatus {
	a.mu.Lock()
	want := a.record.wanted
	a.mu.Unlock()
	found, err := a.machine.devices.Observe(ctx)
	if want == nil || err != nil {
		return nil
	}
	st := Status{}
	st.describe(want, sighting{devices: found}, time.Now())
	return st.Devices
}

// flowsBetween compares two looks at the same devices.
func flowsBetween(before, after []DeviceStatus, took time.Duration) []Flow {
	var out []Flow
	for i := range min(len(before), len(after)) {
		for j := range min(len(before[i].Peers), len(after[i].Peers)) {
			was, is := &before[i].Peers[j], &after[i].Peers[j]
			if was.Gateway != is.Gateway || is.Received < was.Received || is.Sent < was.Sent || is.Received+is.Sent == was.Received+was.Sent {
				continue
			}
			out = append(out, Flow{after[i].Name, is.Gateway, float64(is.Received-was.Received) / took.Seconds(), float64(is.Sent-was.Sent) / took.Seconds()})
		}
	}
	slices.SortFunc(out, func(x, y Flow) int {
		switch a, b := x.Received+x.Sent, y.Received+y.Sent; {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
	return out[:min(len(out), mostFlows)]
}
