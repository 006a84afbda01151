package main

import (
	"errors"

	"github.com/spf13/cobra"

	"ropeway/internal/console"
	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/identity"
	"ropeway/internal/key"
	"ropeway/internal/state"
)

func newKeysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make and take the keys of gateways that have no agent",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeysInitCommand(), newKeysAddCommand())
	return cmd
}

// A keyLine is what keys init says of a gateway.
type keyLine struct {
	Gateway   string     `json:"gateway"`
	PublicKey key.Public `json:"publicKey"`
	Key       string     `json:"key"` // made, found or known
	File      string     `json:"file,omitempty"`
}

func newKeysInitCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "init FILE --dir D",
		Short: "Make a key pair for every gateway that has none",
		Long: `Make a key pair for every gateway whose public key is not known yet: the private half in D/GATEWAY.key, readable by you alone, the
public half in the lock file. A key file that is there already is never overwritten: its public half is taken.

Where an agent runs, it makes its own key, and nothing private leaves the gateway: "ropeway-gateway key" prints the public half
for "ropeway keys add".`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: oneFile,
	}
	lockFile := lockFlag(cmd)
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.Flags().StringVar(&dir, "dir", "", "directory of the private keys; made with mode 0700")
	_ = cmd.MarkFlagRequired("dir")
	_ = cmd.MarkFlagDirname("dir")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var lines []keyLine
		err := changeLock(cmd, args[0], *lockFile, func(src *source) (err error) {
			lines, err = makeKeys(src, dir)
			return err
		})
		if err != nil {
			return err
		}
		return console.Show(cmd.OutOrStdout(), styleOf(cmd, cmd.OutOrStdout()), format.Format, lines, func() *console.Table { return keyTable(lines) })
	}
	return cmd
}

// makeKeys gives every gateway without a public key one. Private halves are on disk before the lock names their public halves, so
// that a run that is cut short loses nothing: the next one finds the files.
func makeKeys(src *source, dir string) ([]keyLine, error) {
	store, lock := identity.At(dir), src.remember()
	var lines []keyLine
	for _, g := range src.intent.Gateways() {
		line := keyLine{Gateway: g.Name, PublicKey: lock.Gateways[g.Name].PublicKey, Key: "known"}
		if line.PublicKey.IsZero() {
			line.Key, line.File = "found", store.Path(g.Name)
			if _, err := store.Load(g.Name); errors.Is(err, identity.ErrMissing) {
				line.Key = "made"
			}
			private, err := store.LoadOrMake(g.Name)
			if err != nil {
				return nil, err
			}
			line.PublicKey = private.Public()
			if err := takeKey(lock, g.Name, line.PublicKey); err != nil {
				return nil, err
			}
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// takeKey notes the public key of a gateway. Two gateways never share one: WireGuard could not tell them apart.
func takeKey(lock *state.Lock, gateway string, k key.Public) error {
	for name, other := range lock.Gateways {
		if other.PublicKey == k && name != gateway {
			return problem("RW6005", "gateway "+gateway, "gateway "+name+" has the same public key", "every gateway needs a key of its own")
		}
	}
	g := lock.Gateways[gateway]
	g.PublicKey = k
	lock.Gateways[gateway] = g
	return nil
}

func keyTable(lines []keyLine) *console.Table {
	t := &console.Table{Columns: []console.Column{{Title: "GATEWAY"}, {Title: "KEY"}, {Title: "PUBLIC KEY"}, {Title: "PRIVATE KEY FILE", Wide: true}}}
	for _, l := range lines {
		t.Rows = append(t.Rows, []string{l.Gateway, l.Key, l.PublicKey.String(), l.File})
	}
	return t
}

func newKeysAddCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "add [FILE] GATEWAY PUBKEY",
		Short: "Take the public key that a gateway's agent made",
		Long: `Write the public key of a gateway into the lock file. The gateway prints it: ropeway-gateway key.
The fabric file may be the first argument, or --file.`,
		Example: "  ropeway keys add fabric.yaml use1-a oNGWYM1AaaL3vTbLAJbQAoKgqYu0HCoAu1Nk/eMh3m8=",
		Args:    cobra.RangeArgs(2, 3), ValidArgsFunction: completeKeysAdd,
	}
	lockFile := lockFlag(cmd)
	cmd.Flags().StringVarP(&file, "file", "f", defaultFile, "fabric file")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 3 {
			if cmd.Flags().Changed("file") {
				return problem("RW6001", "", "the fabric file is named twice", "name it first, or with --file")
			}
			file, args = args[0], args[1:]
		}
		gateway := args[0]
		public, err := key.ParsePublic(args[1])
		if err != nil || public.IsZero() {
			return problem("RW6004", "the public key of gateway "+diag.Quote(gateway), key.ErrFormat.Error(), "take what \"ropeway-gateway key\" or \"wg pubkey\" prints")
		}
		if err := changeLock(cmd, file, *lockFile, func(src *source) error {
			if err := src.knowsGateway(gateway); err != nil {
				return err
			}
			return takeKey(src.remember(), gateway, public)
		}); err != nil {
			return err
		}
		return say(cmd, "Gateway %s has the public key %s.\n", gateway, public)
	}
	return cmd
}

// knowsGateway returns an error for a name that no gateway of the fabric has.
func (s *source) knowsGateway(name string) error {
	var names []string
	for _, g := range s.intent.Gateways() {
		if g.Name == name {
			return nil
		}
		names = append(names, g.Name)
	}
	return problem("RW6006", "gateway "+diag.Quote(name), "the fabric has no such gateway", "it has "+some(names))
}

// completeKeysAdd offers a file first, then the gateways of it.
func completeKeysAdd(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 1 && !fabric.ValidName(args[0]) {
		return gatewayNames(args[0]), cobra.ShellCompDirectiveNoFileComp
	}
	return oneFile(cmd, args, "")
}
