package sink

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// An HTTPS posts events to a collector, as lines of JSON (application/x-ndjson). A status of 2xx means that it has them.
//
// An address that somebody configured must not become a way into what only this machine reaches. So whatever the name resolves to, link-local
// addresses and the metadata services of clouds are not connected to, unless the operator says so; redirects are not followed, and no proxy of the environment
// is used.
type HTTPS struct {
	url           string
	authorization string
	client        *http.Client
}

// HTTPSOptions of a collector.
type HTTPSOptions struct {
	URL           string         // https://HOST[:PORT]/PATH
	Authorization string         // the header, a secret; empty: none
	Authorities   *x509.CertPool // nil: the system's
	LinkLocal     bool           // connect there all the same
}

const (
	collectorTimeout = 30 * time.Second // for one batch, connecting included
	mostAnswer       = 64 << 10         // bytes that are read of an answer
)

// ErrAddress is returned for a collector at an address that is refused. Test with errors.Is.
var ErrAddress = errors.New("it is a link-local address or that of a cloud's metadata service")

// NewHTTPS returns a sink for a collector.
func NewHTTPS(o HTTPSOptions) (*HTTPS, error) {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "":
		return nil, errors.New("a collector is named as https://HOST[:PORT]/PATH")
	case u.User != nil:
		return nil, errors.New("a URL with a password ends up in logs: put what the collector wants to see into a file (--audit-https-authorization)")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !o.LinkLocal && forbidden(ip) {
		return nil, ErrAddress
	}
	dialer := &net.Dialer{Timeout: collectorTimeout}
	if !o.LinkLocal {
		dialer.Control = refuse
	}
	transport := &http.Transport{
		Proxy: nil, DialContext: dialer.DialContext, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: collectorTimeout,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Authorities}, // collectors are other people's; not all speak 1.3
	}
	client := &http.Client{
		Transport: transport, Timeout: collectorTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &HTTPS{o.URL, o.Authorization, client}, nil
}

// Name implements Sink.
func (*HTTPS) Name() string { return "https" }

// Send implements Sink.
func (s *HTTPS) Send(ctx context.Context, events []Event) error {
	var body bytes.Buffer
	for _, e := range events {
		body.Write(e.Line)
		body.WriteByte('\n')
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, &body)
	if err != nil {
		return fmt.Errorf("send to the collector: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	if s.authorization != "" {
		req.Header.Set("Authorization", s.authorization)
	}
	answer, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("send to the collector: %w", err)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, mostAnswer))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return fmt.Errorf("read the collector's answer: %w", err)
	}
	switch code := answer.StatusCode; {
	case code >= 300 && code < 400:
		return fmt.Errorf("send to the collector: it answers %d, and redirects are not followed: name the address itself", code)
	case code < 200 || code >= 400:
		return fmt.Errorf("send to the collector: it answers %d", code)
	}
	return nil
}

// Close implements Sink.
func (s *HTTPS) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// refuse is asked about every address before it is connected to, after names are resolved.
func refuse(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("connect to the collector: %w", err)
	}
	if forbidden(to.Addr()) {
		return fmt.Errorf("connect to the collector at %s: %w", to.Addr(), ErrAddress)
	}
	return nil
}

// metadata are the addresses of cloud metadata and machine services that are not link-local: AWS over IPv6, Alibaba, Azure's host agent, Oracle.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("192.0.0.192"),
}

// forbidden reports whether an address is one that nothing of the configuration should reach by a slip. An IPv4 address may come inside of an
// IPv6 one: mapped (RFC 4291), or through a translator (RFC 6052).
func forbidden(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if netip.MustParsePrefix("64:ff9b::/96").Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	for _, m := range metadata {
		if ip == m {
			return true
		}
	}
	return ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified()
}
