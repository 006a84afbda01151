package signer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ropeway/internal/diag"
	"ropeway/internal/files"
)

const (
	callTimeout = 30 * time.Second
	maxAnswer   = 1 << 20 // in bytes
)

// A service is an API of JSON over HTTPS that is asked about one key.
type service struct {
	ctx     context.Context //nolint:containedctx // crypto.Signer has no place for one
	subject string
	base    string
	header  http.Header // holds what lets somebody in; in no message
	client  *http.Client
}

// newService refuses to send anything in clear, except to this machine. ca names a file of the authorities that count; "" for the system's.
func newService(ctx context.Context, subject, address, ca string, header http.Header) (service, error) {
	at, err := url.Parse(address)
	if err != nil || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Scheme != "https" && (at.Scheme != "http" || !here(at.Hostname())) {
		return service{}, hinted(codeAway, subject, "its service is not at an address of the form https://HOST:PORT", "set it so; http is for this machine alone")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		text, err := files.Read(ca, 1<<20)
		if err != nil {
			return service{}, problem(codeAway, subject, err.Error())
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return service{}, problem(codeAway, subject, diag.Quote(ca)+" holds no certificate")
		}
	}
	// A redirect would take along what lets somebody in.
	client := &http.Client{Transport: transport, Timeout: callTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return service{ctx, subject, strings.TrimSuffix(address, "/"), header, client}, nil
}

func here(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Close ends idle connections.
func (s service) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// call asks, and reads the answer; ask is nil for a GET.
func (s service) call(method, path string, ask, answer any) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return fmt.Errorf("ask %s: %w", s.subject, err)
	}
	if ask == nil {
		body = nil
	}
	request, err := http.NewRequestWithContext(s.ctx, method, s.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask %s: %w", s.subject, err)
	}
	request.Header = s.header.Clone()
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return problem(codeAway, s.subject, unwrapped(err))
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return problem(codeAway, s.subject, "the answer ended early: "+unwrapped(err))
	}
	if response.StatusCode != http.StatusOK {
		return problem(codeAway, s.subject, "the service answers "+response.Status+": "+diag.Quote(strings.Join(strings.Fields(string(text)), " ")))
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return problem(codeAnswer, s.subject, "the service does not answer in JSON as it should")
	}
	return nil
}

// unwrapped leaves out the address that package http repeats.
func unwrapped(err error) string {
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err
	}
	return err.Error()
}
