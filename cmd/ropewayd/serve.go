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

	"ropeway/internal/authority"
	"ropeway/internal/controller"
	"ropeway/internal/fabric"
	"ropeway/internal/logs"
	"ropeway/internal/role"
	"ropeway/internal/store"
)

// serving is what the flags of serve say.
type serving struct {
	data, fabric, listen, logFormat string
	names                           []string
}

func newServeCommand() *cobra.Command {
	var s serving
	cmd := &cobra.Command{
		Use:   "serve --data DIR --fabric NAME",
		Short: "Serve gateways and people",
		Long: `Serve keeps one fabric in one directory, with everything that takes: a store, a certificate authority, and the key that signs plans. The
directory is made on the first start, which prints how its owner logs in: with a token that serves once.`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&s.data, "data", "", "directory of the store and the keys; made with mode 0700")
	flags.StringVar(&s.fabric, "fabric", "", "name of the fabric, as in its file")
	flags.StringVar(&s.listen, "listen", ":8443", "where gateways and people connect")
	flags.StringSliceVar(&s.names, "name", nil, "a name or address that they connect to; for its certificate (default: this machine's name and localhost)")
	flags.StringVar(&s.logFormat, "log-format", string(logs.Text), "format of the log: text or json")
	_ = cmd.MarkFlagDirname("data")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if s.data == "" || !fabric.ValidName(s.fabric) {
			return problem("RW6001", "serve needs a directory, and the fabric's name, which is a DNS label", "usage: "+cmd.UseLine())
		}
		return s.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

func (s *serving) run(ctx context.Context, out, errOut io.Writer) (err error) {
	log, err := logs.New(errOut, logs.Format(s.logFormat))
	if err != nil {
		return problem("RW6001", err.Error(), "ropewayd serve --help lists the flags")
	}
	if len(s.names) == 0 {
		if s.names, err = usualNames(); err != nil {
			return err
		}
	}
	ca, err := authority.Open(filepath.Join(s.data, "authority"), s.fabric, time.Now())
	if err != nil {
		return err
	}
	st, err := store.Open(ctx, store.Options{Dir: filepath.Join(s.data, "store"), Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	c := controller.New(controller.Options{Fabric: s.fabric, Listen: s.listen, Name: "first", At: hosts(s.names), Store: st, Authority: ca, Log: log})
	if err := s.welcome(ctx, c, st, out); err != nil {
		return err
	}
	return c.Run(ctx)
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
	_, port, err := net.SplitHostPort(s.listen)
	if err != nil {
		return problem("RW6001", "--listen: "+err.Error(), "name it as :8443 or 192.0.2.1:8443")
	}
	_, err = fmt.Fprintf(out, "Nobody can log in yet. This token makes whoever has it the first administrator, once, until %s:\n\n  ropeway login https://%s --token %s\n\n",
		expires.Format(time.RFC3339), net.JoinHostPort(s.names[0], port), t.Reveal())
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
