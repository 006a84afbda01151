package main

import (
	"context"
	"crypto/x509"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"ropeway/internal/files"
	"ropeway/internal/sink"
)

// auditing is what the flags of serve say about where the audit log goes as well.
type auditing struct {
	file, syslog, https      string
	authority, authorization string // files
	linkLocal                bool
}

func (a *auditing) flags(flags *pflag.FlagSet) {
	flags.StringVar(&a.file, "audit-file", "", "append audit events to this file, as lines of JSON (OCSF); SIGHUP opens it anew")
	flags.StringVar(&a.syslog, "audit-syslog", "", "send audit events to syslog: unix:///dev/log, udp://HOST:PORT or tcp://HOST:PORT")
	flags.StringVar(&a.https, "audit-https", "", "post audit events to a collector: https://HOST[:PORT]/PATH")
	flags.StringVar(&a.authority, "audit-https-ca", "", "file with the certificates of authorities that vouch for the collector (default: the system's)")
	flags.StringVar(&a.authorization, "audit-https-authorization", "", `file, mode 0600, with what to send as the Authorization header ("Bearer …")`)
	flags.BoolVar(&a.linkLocal, "audit-https-link-local", false, "let the collector be at a link-local address or that of a cloud's metadata service")
}

// maxAuthorization and maxAuthorities bound the files that the flags name, in bytes.
const (
	maxAuthorization = 16 << 10
	maxAuthorities   = 1 << 20
)

// sinks returns where the audit log goes as well. reopen is to be called when the audit file was renamed.
func (a *auditing) sinks() (all []sink.Sink, reopen func(), err error) {
	reopen = func() {}
	if a.file != "" {
		f := sink.NewFile(a.file)
		all, reopen = append(all, f), f.Reopen
	}
	if a.syslog != "" {
		s, err := sink.NewSyslog(a.syslog)
		if err != nil {
			return nil, nil, problem("RW7411", "--audit-syslog: "+err.Error(), "ropewayd serve --help lists the flags")
		}
		all = append(all, s)
	}
	if a.https == "" && (a.authority != "" || a.authorization != "" || a.linkLocal) {
		return nil, nil, problem("RW7411", "there are flags for a collector, and none is named", "add --audit-https https://HOST/PATH")
	}
	if a.https != "" {
		s, err := a.collector()
		if err != nil {
			return nil, nil, err
		}
		all = append(all, s)
	}
	return all, reopen, nil
}

func (a *auditing) collector() (*sink.HTTPS, error) {
	o := sink.HTTPSOptions{URL: a.https, LinkLocal: a.linkLocal}
	if a.authority != "" {
		text, err := files.Read(a.authority, maxAuthorities)
		if err != nil {
			return nil, problem("RW7411", "--audit-https-ca: "+err.Error(), "name a file of PEM certificates")
		}
		o.Authorities = x509.NewCertPool()
		if !o.Authorities.AppendCertsFromPEM(text) {
			return nil, problem("RW7411", "--audit-https-ca: no certificate is in it", "name a file of PEM certificates")
		}
	}
	if a.authorization != "" {
		dir, err := files.OpenSecrets(filepath.Dir(a.authorization))
		if err != nil {
			return nil, problem("RW7411", "--audit-https-authorization: "+err.Error(), "keep the file, mode 0600, in a directory of mode 0700")
		}
		defer func() { _ = dir.Close() }()
		text, err := dir.Read(filepath.Base(a.authorization), maxAuthorization)
		if err != nil {
			return nil, problem("RW7411", "--audit-https-authorization: "+err.Error(), "keep the file, mode 0600, in a directory of mode 0700")
		}
		defer clear(text)
		if o.Authorization = strings.TrimSpace(string(text)); o.Authorization == "" || strings.ContainsAny(o.Authorization, "\r\n\x00") {
			return nil, problem("RW7411", "--audit-https-authorization: the file does not hold one line", `write one line into it, such as "Bearer …"`)
		}
	}
	s, err := sink.NewHTTPS(o)
	if err != nil {
		return nil, problem("RW7411", "--audit-https: "+err.Error(), "ropewayd serve --help lists the flags")
	}
	return s, nil
}

// onHangup calls f for every SIGHUP until stop is called.
func onHangup(ctx context.Context, f func()) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hangups, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, unix.SIGHUP)
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				f()
			}
		}
	}()
	return func() { signal.Stop(hangups); cancel(); <-done }
}
