package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// An agentStatus is what the lab wants to know of an agent.
type agentStatus struct {
	Plan      struct{ Wanted, Applied string }
	LastError string
	BGP       struct{ Neighbors []sessionStatus }
}

// A sessionStatus is one end of a BGP session.
type sessionStatus struct {
	Name string
	Up   bool
	BFD  string
}

// listen asks the agent of a gateway how it does until it is content with that, or time is over, which is no error.
func (l *Lab) listen(ctx context.Context, gateway string, patience time.Duration, content func(agentStatus) bool) error {
	a, err := l.callAgent(gateway)
	if err != nil {
		return err
	}
	defer a.hangUp()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for limited.Err() == nil {
		if s, err := a.status(limited); err == nil && content(s) {
			return nil
		}
		if err := sleep(limited, 2*pollInterval); err != nil {
			break
		}
	}
	return ctx.Err()
}

// A call is a way to ask the agent of a gateway without a process in between, which takes longer to start than the agent to answer.
type call struct {
	client http.Client
	dir    *os.File
}

// callAgent opens a way to the agent of a gateway, which need not be there yet.
func (l *Lab) callAgent(gateway string) (*call, error) {
	dir, err := os.Open(machineRun(l.Name, gateway))
	if err != nil {
		return nil, fmt.Errorf("open the agent's directory: %w", err)
	}
	// By way of the descriptor, as the name of a socket has at most 107 bytes (unix(7)) and two names of 63 are in this one's.
	socket := fmt.Sprintf("/proc/self/fd/%d/agent.sock", dir.Fd())
	return &call{dir: dir, client: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}}, nil
}

func (c *call) hangUp() {
	c.client.CloseIdleConnections()
	_ = c.dir.Close()
}

// status asks the agent how it does.
func (c *call) status(ctx context.Context) (s agentStatus, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/status", nil)
	if err != nil {
		return s, fmt.Errorf("ask the agent: %w", err)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return s, fmt.Errorf("ask the agent: %w", err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		return s, fmt.Errorf("read the agent's status: %w", err)
	}
	return s, nil
}
