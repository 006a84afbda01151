package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/net/netutil"

	"ropeway/internal/diag"
	"ropeway/internal/logs"
	"ropeway/internal/metrics"
)

const socketName = "agent.sock"

// Bounds of what the agent serves. Who asks is on this machine, and may be broken all the same.
const (
	connectionsMost = 64
	headerMost      = 8 << 10 // bytes
	serveTimeout    = 10 * time.Second
	lookTimeout     = 5 * time.Second
)

// checkListen refuses an address that other machines reach, unless that is what is wanted: figures tell who talks to whom.
func checkListen(address string, anywhere bool) error {
	if address == "" {
		return nil
	}
	at, err := netip.ParseAddrPort(address)
	if err == nil && (anywhere || at.Addr().Unmap().IsLoopback()) {
		return nil
	}
	p := diag.Problem{Code: codeListen, Severity: diag.Error, Subject: "--listen", Message: diag.Quote(address) + " is not a loopback address and port",
		Hint: "use one such as " + DefaultListen + ", or say --listen-anywhere if other machines are to read the metrics"}
	if err != nil {
		p.Message = diag.Quote(address) + " is not an address and port"
	}
	return p
}

// serveLoopback serves /metrics and /healthz until ctx ends. An address that cannot be had is tried again: forwarding does not
// depend on figures.
func (a *Agent) serveLoopback(ctx context.Context) error {
	if a.opts.Listen == "" {
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", a.answerHealth)
	mux.HandleFunc("GET /metrics", a.answerMetrics)
	var last string
	for {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", a.opts.Listen)
		if err == nil {
			return serve(ctx, l, mux)
		}
		if err.Error() != last && ctx.Err() == nil {
			a.log.Error("metrics cannot be served yet", "error", err)
			last = err.Error()
		}
		if !sleep(ctx, again) {
			return nil
		}
	}
}

// serveSocket serves the status on a socket of the run directory until ctx ends. The socket appears under its name with its mode,
// in place of one that a killed agent left.
func (a *Agent) serveSocket(ctx context.Context) error {
	path := filepath.Join(a.opts.Run, socketName)
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return unusable(a.opts.Run, err)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", fresh)
	if err != nil {
		return unusable(a.opts.Run, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // it has another name by then
	if err := errors.Join(os.Chmod(fresh, 0o600), os.Rename(fresh, path)); err != nil {
		return errors.Join(unusable(a.opts.Run, err), l.Close())
	}
	defer func() { _ = os.Remove(path) }()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", a.answerStatus)
	mux.HandleFunc("GET /routes", a.answerRoutes)
	mux.HandleFunc("POST /drain", a.answerDrain)
	mux.HandleFunc("POST /undrain", a.answerUndrain)
	return serve(ctx, trusted{l, a.log}, mux)
}

// serve answers on a listener until ctx ends.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: serveTimeout, ReadTimeout: serveTimeout, WriteTimeout: serveTimeout,
		IdleTimeout: serveTimeout, MaxHeaderBytes: headerMost}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = server.Close() // who asks now asks again
	})
	err := server.Serve(netutil.LimitListener(l, connectionsMost))
	if !stop() {
		<-ended
		return nil
	}
	return fmt.Errorf("serve on %s: %w", l.Addr(), err)
}

func (a *Agent) statusFor(r *http.Request) Status {
	ctx, cancel := context.WithTimeout(r.Context(), lookTimeout)
	defer cancel()
	return a.Status(ctx)
}

func (a *Agent) answerStatus(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a.statusFor(r)) // an error means that the reader has gone
}

func (a *Agent) answerRoutes(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), lookTimeout)
	defer cancel()
	routes, err := a.Routes(ctx, r.FormValue("of"))
	answer(w, routes, err)
}

func (a *Agent) answerDrain(w http.ResponseWriter, r *http.Request) {
	wait, err := time.ParseDuration(r.FormValue("wait"))
	if err != nil {
		answer(w, nil, fmt.Errorf("drain: %w", err))
		return
	}
	late := time.Now().Add(wait + serveTimeout)
	c := http.NewResponseController(w)
	if err := errors.Join(c.SetReadDeadline(late), c.SetWriteDeadline(late)); err != nil {
		answer(w, nil, fmt.Errorf("drain: %w", err))
		return
	}
	out, err := a.Drain(r.Context(), wait)
	answer(w, out, err)
}

func (a *Agent) answerUndrain(w http.ResponseWriter, _ *http.Request) {
	lifted, err := a.Undrain()
	answer(w, lifted, err)
}

// answer writes a value, or in its place the problem that there is.
func answer(w http.ResponseWriter, value any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		var p diag.Problem
		if !errors.As(err, &p) {
			p = diag.Problem{Code: "RW6000", Severity: diag.Error, Subject: "agent", Message: logs.Printable(err.Error())}
		}
		w.WriteHeader(http.StatusConflict)
		value = p
	}
	_ = json.NewEncoder(w).Encode(value) // an error means that the reader has gone
}

func (a *Agent) answerHealth(w http.ResponseWriter, r *http.Request) {
	status := a.statusFor(r)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !status.Healthy {
		w.WriteHeader(http.StatusServiceUnavailable)
		for _, reason := range status.Reasons {
			_, _ = fmt.Fprintln(w, reason)
		}
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

func (a *Agent) answerMetrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", metrics.ContentType)
	_, _ = w.Write(exposition(a.statusFor(r)))
}
