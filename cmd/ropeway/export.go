package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ropeway/internal/bgp"
	"ropeway/internal/bgp/bird"
	"ropeway/internal/bgp/frr"
	"ropeway/internal/console"
	"ropeway/internal/diag"
	"ropeway/internal/export"
	"ropeway/internal/files"
	"ropeway/internal/firewall"
	"ropeway/internal/plan"
)

func newExportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the plans for agents, wg-quick, nft, FRR or BIRD",
		Long:  "Write what every gateway has to be, as files for the tool that will make it so. Nothing that is exported holds a private key.",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newExportPlanCommand(), newExportWGQuickCommand(), newExportNFTablesCommand(),
		newExportDaemonCommand("frr", "FRR", func(c *bgp.Config) (string, error) { return frr.Render(c), nil }), newExportDaemonCommand("bird", "BIRD 2", bird.Render))
	return cmd
}

// An exportOrder is what every export is told.
type exportOrder struct{ dir, lockFile, gateway *string }

func exportFlags(cmd *cobra.Command, dirRequired bool) exportOrder {
	o := exportOrder{
		dir:      cmd.Flags().String("dir", "", "directory to write to; made if missing"),
		lockFile: lockFlag(cmd),
		gateway:  cmd.Flags().String("gateway", "", "only this gateway"),
	}
	if dirRequired {
		_ = cmd.MarkFlagRequired("dir")
	}
	_ = cmd.MarkFlagDirname("dir")
	_ = cmd.RegisterFlagCompletionFunc("gateway", completeGateways)
	return o
}

// An artifact is a file to write: its name below the directory, and its content.
type artifact struct {
	name string
	data []byte
}

// run compiles a file and writes what render returns for each gateway. All is made before anything is written.
func (o exportOrder) run(cmd *cobra.Command, file string, ready func(*plan.Fabric) error, render func(*plan.Fabric, *plan.Gateway) ([]artifact, error)) error {
	src, err := readSource(cmd, file, *o.lockFile)
	if err != nil {
		return err
	}
	if *o.gateway != "" {
		if err := src.knowsGateway(*o.gateway); err != nil {
			return err
		}
	}
	p, _ := src.compile()
	if ready != nil {
		if err := ready(p); err != nil {
			return err
		}
	}
	var all []artifact
	for _, g := range p.Gateways {
		if *o.gateway != "" && g.Name != *o.gateway {
			continue
		}
		made, err := render(p, g)
		if err != nil {
			return err
		}
		all = append(all, made...)
	}
	if *o.dir == "" {
		for _, a := range all {
			if err := say(cmd, "%s", a.data); err != nil {
				return err
			}
		}
		return nil
	}
	return writeAll(cmd, *o.dir, all)
}

func writeAll(cmd *cobra.Command, dir string, all []artifact) error {
	for _, a := range all {
		path := filepath.Join(dir, a.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return unwritable("directory", err)
		}
		if err := files.Replace(path, a.data, 0o600); err != nil {
			return unwritable("export", err)
		}
	}
	return say(cmd, "Wrote %s to %s.\n", count(len(all), "file"), console.Visible(dir))
}

func newExportPlanCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan FILE --dir D",
		Short: "Write a plan for each gateway's agent",
		Long:  "Write D/GATEWAY.json for every gateway: what \"ropeway-gateway run --plan\" takes. An agent leaves out a peer whose key is not known yet.",
		Args:  cobra.ExactArgs(1), ValidArgsFunction: oneFile,
	}
	order := exportFlags(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		warn := func(p *plan.Fabric) error { return warnPending(cmd, p) }
		return order.run(cmd, args[0], warn, func(p *plan.Fabric, g *plan.Gateway) ([]artifact, error) {
			data, err := plan.Encode(p.Name, g)
			return []artifact{{g.Name + ".json", data}}, err
		})
	}
	return cmd
}

func newExportWGQuickCommand() *cobra.Command {
	var home string
	cmd := &cobra.Command{
		Use:   "wg-quick FILE --dir D",
		Short: "Write files that wg-quick takes",
		Long: `Write D/GATEWAY/rw0.conf and D/GATEWAY/rw0.nft for every gateway. On the gateway both belong into /etc/wireguard (or --home), and its
private key into keys/GATEWAY.key there; then: wg-quick up rw0.

The files refer to the private key and never hold it. Every public key has to be known: see "ropeway keys".`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: oneFile,
	}
	order := exportFlags(cmd, true)
	cmd.Flags().StringVar(&home, "home", export.Home, "directory of the files on the gateway")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !export.SafeHome(home) {
			return problem("RW6001", "", "--home "+diag.Quote(home)+" cannot stand in a wg-quick file", "give an absolute path of letters, digits, '.', '_' and '-'")
		}
		ready := func(p *plan.Fabric) error { return errors.Join(refuseBGP(p), refusePending(p)) }
		return order.run(cmd, args[0], ready, func(_ *plan.Fabric, g *plan.Gateway) ([]artifact, error) {
			return wgQuickFiles(g, home)
		})
	}
	return cmd
}

// refuseBGP is for exports that carry nothing but what is in the plan: with BGP the routes are not.
func refuseBGP(p *plan.Fabric) error {
	if len(p.Gateways) > 0 && p.Gateways[0].BGP != nil {
		return problem("RW6018", "fabric "+p.Name, "its gateways learn their routes by BGP, and wg-quick runs no routing daemon", "let agents run the gateways, or write routing: {mode: static}")
	}
	return nil
}

// newExportDaemonCommand returns the command that writes the configuration of a routing daemon.
func newExportDaemonCommand(name, called string, render func(*bgp.Config) (string, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:   name + " FILE --dir D",
		Short: "Write the configuration of " + called + " for each gateway",
		Long: "Write D/GATEWAY/" + name + ".conf for every gateway of a fabric that speaks BGP: what the agent gives " + called + ", whichever daemon the file names.\n" +
			"The devices have to be there. Where a password belongs stands <password:NAME>.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: oneFile,
	}
	order := exportFlags(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return order.run(cmd, args[0], nil, func(p *plan.Fabric, g *plan.Gateway) ([]artifact, error) {
			if g.BGP == nil {
				return nil, problem("RW6018", "fabric "+p.Name, "its routing is static, so no gateway runs "+called, "write routing: {mode: bgp}")
			}
			text, err := render(&bgp.Config{BGP: g.BGP})
			if err != nil {
				return nil, fmt.Errorf("export gateway %s for %s: %w", g.Name, called, err)
			}
			return []artifact{{filepath.Join(g.Name, name+".conf"), []byte(text)}}, nil
		})
	}
	return cmd
}

func wgQuickFiles(g *plan.Gateway, home string) ([]artifact, error) {
	var all []artifact
	rules := firewall.Render(g)
	for i := range g.Devices {
		d := &g.Devices[i]
		conf, err := export.WGQuick(g, d, home)
		if err != nil {
			return nil, fmt.Errorf("export for wg-quick: %w", err)
		}
		base := filepath.Join(g.Name, d.Name)
		all = append(all, artifact{base + ".conf", conf}, artifact{base + ".nft", rules})
	}
	return all, nil
}

func newExportNFTablesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nftables FILE [--dir D] [--gateway G]",
		Short: "Write the firewall of each gateway as nft takes it",
		Long:  "Write D/GATEWAY.nft for every gateway, or print the firewall of one with --gateway: what \"nft -f\" takes, one table replaced at once.",
		Args:  cobra.ExactArgs(1), ValidArgsFunction: oneFile,
	}
	order := exportFlags(cmd, false)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *order.dir == "" && *order.gateway == "" {
			return problem("RW6001", "", "the firewalls of all gateways do not go into one stream", "give --dir D, or --gateway G to print one")
		}
		return order.run(cmd, args[0], nil, func(_ *plan.Fabric, g *plan.Gateway) ([]artifact, error) {
			return []artifact{{g.Name + ".nft", firewall.Render(g)}}, nil
		})
	}
	return cmd
}

// refusePending is for exports that make no sense without keys.
func refusePending(p *plan.Fabric) error {
	if pending, ok := pendingKeys(p); ok {
		return pending
	}
	return nil
}

// warnPending is for exports that other keys can follow later.
func warnPending(cmd *cobra.Command, p *plan.Fabric) error {
	pending, ok := pendingKeys(p)
	if !ok {
		return nil
	}
	pending.Severity = diag.Warning
	w := cmd.ErrOrStderr()
	return console.Print(w, styleOf(cmd, w), diag.List{pending})
}

func pendingKeys(p *plan.Fabric) (found diag.Problem, ok bool) {
	names := export.Pending(p)
	if len(names) == 0 {
		return diag.Problem{}, false
	}
	return problem("RW6007", "public keys", "not known yet: "+some(names), "\"ropeway keys init\" makes them, \"ropeway keys add\" takes one from an agent"), true
}
