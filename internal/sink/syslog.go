package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"

	"ropeway/internal/audit"
)

// A Syslog sends events as messages of RFC 5424, facility "log audit", whose text is the JSON line.
//
// Syslog does not acknowledge. Over a socket of this machine what was sent has arrived; over TCP an event can be lost that was on its way when
// the connection ended, and over UDP any.
type Syslog struct {
	network, address, host string
	conn                   net.Conn // nil: not connected
}

const (
	auditFacility = 13 // RFC 5424, section 6.2.1
	noticeLevel   = 5
	warningLevel  = 4
	syslogTimeout = 10 * time.Second // to connect, and for a batch
)

// NewSyslog reads where to: unix:///dev/log, udp://HOST:PORT or tcp://HOST:PORT.
func NewSyslog(to string) (*Syslog, error) {
	bad := errors.New("syslog is at unix:///dev/log, udp://HOST:PORT or tcp://HOST:PORT")
	u, err := url.Parse(to)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, bad
	}
	host, err := os.Hostname()
	if err != nil {
		host = "-" // RFC 5424, section 6.2.4
	}
	switch {
	case u.Scheme == "unix" && u.Host == "" && u.Path != "":
		return &Syslog{network: "unixgram", address: u.Path, host: host}, nil
	case (u.Scheme == "udp" || u.Scheme == "tcp") && u.Hostname() != "" && u.Port() != "" && u.Path == "":
		return &Syslog{network: u.Scheme, address: u.Host, host: host}, nil
	}
	return nil, bad
}

// Name implements Sink.
func (*Syslog) Name() string { return "syslog" }

// Send implements Sink.
func (s *Syslog) Send(ctx context.Context, events []Event) error {
	if s.conn != nil && s.gone() {
		_ = s.Close()
	}
	if s.conn == nil {
		conn, err := (&net.Dialer{Timeout: syslogTimeout}).DialContext(ctx, s.network, s.address)
		if err != nil {
			return fmt.Errorf("connect to syslog: %w", err)
		}
		s.conn = conn
	}
	err := s.conn.SetWriteDeadline(time.Now().Add(syslogTimeout))
	for i := 0; i < len(events) && err == nil; i++ {
		message := s.message(events[i])
		if s.network == "tcp" {
			message = append(strconv.AppendInt(nil, int64(len(message)), 10), append([]byte{' '}, message...)...) // octet counting: RFC 6587, section 3.4.1
		}
		_, err = s.conn.Write(message)
	}
	if err == nil && s.gone() {
		err = errors.New("the connection ended")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("send to syslog: %w", err), s.Close())
	}
	return nil
}

// gone reports whether the other end of a TCP connection closed it: writing alone tells one message too late.
func (s *Syslog) gone() bool {
	if s.network != "tcp" {
		return false
	}
	if err := s.conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return true
	}
	var b [1]byte
	_, err := s.conn.Read(b[:])
	return errors.Is(err, io.EOF) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// message is an event as RFC 5424, section 6, has it: its time, the action as MSGID, no structured data.
func (s *Syslog) message(e Event) []byte {
	level := noticeLevel
	if e.Entry.Outcome == audit.Refused {
		level = warningLevel
	}
	id := e.Entry.What[:min(len(e.Entry.What), 32)]
	at := time.UnixMilli(e.Entry.At).UTC().Format("2006-01-02T15:04:05.000Z07:00")
	return fmt.Appendf(nil, "<%d>1 %s %s ropewayd %d %s - %s", auditFacility*8+level, at, s.host, os.Getpid(), id, e.Line)
}

// Close implements Sink.
func (s *Syslog) Close() error {
	if s.conn == nil {
		return nil
	}
	conn := s.conn
	s.conn = nil
	return conn.Close()
}
