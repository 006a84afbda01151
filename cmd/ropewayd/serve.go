package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"ropeway/internal/authority"
	"ropeway/internal/controller"
	"ropeway/internal/fabric"
	"ropeway/internal/files"
	"ropeway/internal/logs"
	"ropeway/internal/role"
	"ropeway/internal/store"
)

// serving is what the flags of serve say.
type serving struct {
	data, fabric, listen, logFormat string
	names                           []string
	controller, url, planKey        string
	recipients                      []string
	cluster                         clustering
	audit                           auditing
	in                              io.Reader
	waves                           controller.Waves
}

func newServeCommand() *cobra.Command {
	var s serving
	cmd := &cobra.Command{
		Use:   "serve --data DIR --fabric NAME",
		Short: "Serve gateways and people",
		Long: `Serve keeps one fabric in one directory, with everything that takes: a store, a certificate authority, and the key that signs plans. The
directory is made on the first start, which prints how its owner logs in: with a token that serves once.

Several controllers can keep one fabric. With --peer-url others can join this one; with --join this one joins another, which needs a token of "ropeway
token create --controller NAME". --initial-cluster makes several at once, and --etcd-endpoints keeps the fabric in an etcd that is there already.`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&s.data, "data", "", "directory of the store and the keys; made with mode 0700")
	flags.StringVar(&s.fabric, "fabric", "", "name of the fabric, as in its file")
	flags.StringVar(&s.listen, "listen", ":8443", "where gateways and people connect")
	flags.StringSliceVar(&s.names, "name", nil, "a name or address that they connect to; for its certificate (default: this machine's name and localhost)")
	flags.StringVar(&s.controller, "controller", "first", "name of this controller among others, a DNS label")
	flags.StringVar(&s.url, "url", "", "what gateways and people are told of where this controller is (default: https:// and the first --name, with the port of --listen)")
	planKeyFlag(flags, &s.planKey)
	flags.StringSliceVar(&s.recipients, "backup-recipient", nil, "who can read backups: the public half of a key of ropewayd backup-key, age1…, or the address of a key in a KMS, awskms://…")
	flags.DurationVar(&s.waves.Soak, "rollout-soak", time.Second, "how long a wave of a rollout is looked at before the next one begins")
	flags.DurationVar(&s.waves.Timeout, "rollout-timeout", 3*time.Minute, "how long a wave waits for a gateway that was given the new revision")
	flags.StringVar(&s.logFormat, "log-format", string(logs.Text), "format of the log: text or json")
	s.cluster.flags(flags)
	s.audit.flags(flags)
	_ = cmd.MarkFlagDirname("data")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if s.data == "" || !fabric.ValidName(s.fabric) || !fabric.ValidName(s.controller) {
			return problem("RW6001", "serve needs a directory, and the names of the fabric and of the controller, which are DNS labels", "usage: "+cmd.UseLine())
		}
		if err := s.cluster.check(s.controller); err != nil {
			return err
		}
		s.in = cmd.InOrStdin()
		return s.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

func (s *serving) run(ctx context.Context, out, errOut io.Writer) (err error) {
	log, err := logs.New(errOut, logs.Format(s.logFormat))
	if err != nil {
		return problem("RW6001", err.Error(), "ropewayd serve --help lists the flags")
	}
	opts := controller.Options{Fabric: s.fabric, Listen: s.listen, Name: s.controller, Log: log, PeerURL: s.cluster.peerURL}
	if err := s.address(&opts); err != nil {
		return err
	}
	if opts.Recipients, err = recipients(s.recipients); err != nil {
		return err
	}
	var reopen func()
	if opts.Sinks, reopen, err = s.audit.sinks(); err != nil {
		return err
	}
	opts.Bookmarks = s.path("audit")
	if err := errors.Join(files.SecretDir(s.data), files.SecretDir(opts.Bookmarks)); err != nil {
		return problem("RW7103", err.Error(), "check its owner, mode and file system")
	}
	defer onHangup(ctx, reopen)()
	if err := keepElsewhere(s.data, s.planKey); err != nil {
		return err
	}
	h, err := s.open(ctx, opts.URL, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.store.Close()) }()
	opts.Store, opts.Authority = h.store, h.authority
	opts.Bundle = func() (authority.Bundle, error) { return authority.Pack(s.path(authorityDir)) }
	c := controller.New(opts)
	if err := s.welcome(ctx, c, h.store, out); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.Run(ctx) })
	group.Go(func() error {
		h.peer.Keep(ctx, h.authority, time.Now, func(err error) { log.Error("the certificate among controllers was not renewed", "error", err) })
		return nil
	})
	return group.Wait()
}

// path returns a place in the data directory.
func (s *serving) path(name string) string { return filepath.Join(s.data, name) }

// address works out where the controller is reached.
func (s *serving) address(opts *controller.Options) (err error) {
	if len(s.names) == 0 {
		if s.names, err = usualNames(); err != nil {
			return err
		}
	}
	opts.At = hosts(s.names)
	_, port, err := net.SplitHostPort(s.listen)
	if err != nil {
		return problem("RW6001", "--listen: "+err.Error(), "name it as :8443 or 192.0.2.1:8443")
	}
	if opts.URL = s.url; s.url == "" {
		opts.URL = "https://" + net.JoinHostPort(s.names[0], port)
	}
	s.url = opts.URL
	return nil
}

// firstTTL is how long the token of the first administrator serves.
const firstTTL = time.Hour

// welcome says how to log in where nobody can: on the first start, and on any until somebody did.
func (s *serving) welcome(ctx context.Context, c *controller.Controller, st *store.Store, out io.Writer) error {
	admins, err := st.Members(ctx, string(role.Admin)+"/")
	if err != nil || len(admins) > 0 {
		return err
	}
	t, expires, err := c.FirstToken(ctx, role.Identity{Role: role.Admin, Name: "first"}, firstTTL)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Nobody can log in yet. This token makes whoever has it the first administrator, once, until %s:\n\n  ropeway login %s --token %s\n\n",
		expires.Format(time.RFC3339), s.url, t.Reveal())
	return err
}

// hosts tells addresses from names.
func hosts(names []string) (h authority.Hosts) {
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			h.IPs = append(h.IPs, ip)
		} else {
			h.Names = append(h.Names, name)
		}
	}
	return h
}

// usualNames are what a controller is called if nobody says.
func usualNames() ([]string, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("ask for this machine's name: %w", err)
	}
	return []string{strings.ToLower(host), "localhost", "127.0.0.1", "::1"}, nil
}
