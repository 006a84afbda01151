package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"ropeway/internal/diag"
)

// statusMost bounds an answer, in bytes: ten thousand peers take about a fifth of it.
const statusMost = 32 << 20

// Ask returns the status of the agent whose run directory this is.
func Ask(ctx context.Context, run string) (*Status, error) {
	path := filepath.Join(run, socketName)
	client := &http.Client{Timeout: serveTimeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/status", nil)
	if err != nil {
		return nil, fmt.Errorf("ask the agent: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", diag.Problem{Code: codeNotRunning, Severity: diag.Error, Subject: "agent",
			Message: "nobody answers at " + diag.Quote(path),
			Hint:    "start it: ropeway-gateway run --plan FILE; or name its directory with --run; only root and its own user may ask"}, err)
	}
	defer func() { _ = resp.Body.Close() }()
	var status Status
	if err := json.NewDecoder(io.LimitReader(resp.Body, statusMost)).Decode(&status); err != nil {
		return nil, fmt.Errorf("read the agent's answer: %w", err)
	}
	return &status, nil
}
