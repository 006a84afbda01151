package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// startAgents starts every agent: first those of gateways that others can dial, then the others, when the first are as their plans say.
//
// A gateway that nobody can dial begins every session of its own, and a handshake that begins before the peer is there is lost: both ends
// would be 5 s in trying again (WireGuard whitepaper, section 6.1). Of two that can dial each other the later one begins.
func (l *Lab) startAgents(ctx context.Context) error {
	for _, names := range l.generations() {
		var g errgroup.Group
		g.SetLimit(2 * runtime.NumCPU())
		for _, name := range names {
			g.Go(func() error {
				if err := l.startAgent(name); err != nil {
					return err
				}
				return l.awaitAgent(ctx, name)
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// generations parts the gateways into those with an endpoint and those without.
func (l *Lab) generations() [2][]string {
	var all [2][]string
	for _, g := range l.in.Gateways() {
		at := 0
		if g.Endpoint.IsZero() {
			at = 1
		}
		all[at] = append(all[at], g.Name)
	}
	return all
}

// agentTimeout is how long an agent may take until it has carried out its plan once. It only saves time to wait for that, so its
// end is no error: what came of it shows in the links.
const agentTimeout = 5 * time.Second

// awaitAgent waits until the agent of a gateway has carried out its plan, as far as it could.
func (l *Lab) awaitAgent(ctx context.Context, gateway string) error {
	return l.listen(ctx, gateway, agentTimeout, func(s agentStatus) bool {
		return s.Plan.Wanted != "" && s.Plan.Wanted == s.Plan.Applied || s.LastError != ""
	})
}

// An agentStatus is what the lab wants to know of an agent.
type agentStatus struct {
	Plan      struct{ Wanted, Applied string }
	LastError string
}

// listen asks the agent of a gateway how it does until it is content with that, or time is over, which is no error.
func (l *Lab) listen(ctx context.Context, gateway string, patience time.Duration, content func(agentStatus) bool) error {
	dir, err := os.Open(machineRun(l.Name, gateway))
	if err != nil {
		return fmt.Errorf("open the agent's directory: %w", err)
	}
	defer dir.Close()
	// By way of the descriptor, as the name of a socket has at most 107 bytes (unix(7)) and two names of 63 are in this one's.
	socket := fmt.Sprintf("/proc/self/fd/%d/agent.sock", dir.Fd())
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	defer client.CloseIdleConnections()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for limited.Err() == nil {
		if s, err := askAgent(limited, &client); err == nil && content(s) {
			return nil
		}
		if err := sleep(limited, 2*pollInterval); err != nil {
			break
		}
	}
	return ctx.Err()
}

// askAgent asks an agent how it does.
func askAgent(ctx context.Context, client *http.Client) (s agentStatus, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/status", nil)
	if err != nil {
		return s, fmt.Errorf("ask the agent: %w", err)
	}
	res, err := client.Do(req)
	if err != nil {
		return s, fmt.Errorf("ask the agent: %w", err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		return s, fmt.Errorf("read the agent's status: %w", err)
	}
	return s, nil
}
