package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"ropeway/internal/bgp"
	"ropeway/internal/diag"
)

// answerMost bounds an answer, in bytes: the status of ten thousand peers takes about a fifth of it, a hundred thousand routes the half.
const answerMost = 32 << 20

// Ask returns the status of the agent whose run directory this is.
func Ask(ctx context.Context, run string) (*Status, error) {
	var status Status
	if err := ask(ctx, run, question{path: "/status", into: &status}); err != nil {
		return nil, err
	}
	return &status, nil
}

// AskRoutes returns what the routing daemon of an agent knows; see Agent.Routes.
func AskRoutes(ctx context.Context, run, of string) ([]bgp.Route, error) {
	var routes []bgp.Route
	err := ask(ctx, run, question{path: "/routes?of=" + url.QueryEscape(of), into: &routes})
	return routes, err
}

// AskDrain has an agent drain its gateway; see Agent.Drain.
func AskDrain(ctx context.Context, run string, wait time.Duration) (*Drainage, error) {
	var out Drainage
	if err := ask(ctx, run, question{method: http.MethodPost, path: "/drain?wait=" + wait.String(), into: &out, wait: wait}); err != nil {
		return nil, err
	}
	return &out, nil
}

// AskUndrain has an agent take that back; see Agent.Undrain.
func AskUndrain(ctx context.Context, run string) (lifted bool, err error) {
	err = ask(ctx, run, question{method: http.MethodPost, path: "/undrain", into: &lifted})
	return lifted, err
}

// A question is a request, and where its answer goes.
type question struct {
	method, path string // "": GET
	into         any
	wait         time.Duration // that the answer takes beyond the usual
}

func ask(ctx context.Context, run string, q question) error {
	path := filepath.Join(run, socketName)
	client := &http.Client{Timeout: serveTimeout + q.wait, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, q.method, "http://agent"+q.path, nil)
	if err != nil {
		return fmt.Errorf("ask the agent: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", diag.Problem{Code: codeNotRunning, Severity: diag.Error, Subject: "agent",
			Message: "nobody answers at " + diag.Quote(path),
			Hint:    "start it: ropeway-gateway run --plan FILE; or name its directory with --run; only root and its own user may ask"}, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body := json.NewDecoder(io.LimitReader(resp.Body, answerMost))
	switch resp.StatusCode {
	case http.StatusOK:
		err = body.Decode(q.into)
	case http.StatusConflict:
		var p diag.Problem
		if err = body.Decode(&p); err == nil {
			return p
		}
	default: // an agent of an earlier version, which outlives the program that asks
		return fmt.Errorf("the agent does not know what it is asked (%s): restart it with this version", resp.Status)
	}
	if err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	return nil
}
