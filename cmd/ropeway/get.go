package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"ropeway/internal/console"
)

// A kind is one sort of thing that get and describe show.
type kind struct {
	name, one string // "gateways", "gateway"
	short     string
	named     string // what a name may be
	list      func(ctx context.Context, v *viewer, name string) (*listing, error)
	complete  func(context.Context, *remote) []string
}

// A listing is what there is of a kind.
type listing struct {
	value   any // for programs
	table   *console.Table
	details func() ([]detail, error)
}

func kinds() []kind {
	return []kind{gatewayKind(), linkKind(), peerKind(), prefixKind(), revisionKind()}
}

func newGetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get", Short: "Show what the controller knows", Args: cobra.NoArgs,
		Long: `Get lists what there is of a kind, a line each, or what a name stands for. With --watch it shows it anew whenever it changes, until interrupted.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, k := range kinds() {
		cmd.AddCommand(newGetKindCommand(k))
	}
	cmd.AddCommand(newGetNeighborsCommand(), newGetRoutesCommand())
	return cmd
}

func newGetKindCommand(k kind) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: k.name + " [NAME]", Aliases: []string{k.one}, Short: k.short, Long: k.short + ". NAME may be " + k.named + ".",
		Example: "  ropeway get " + k.name + "\n  ropeway get " + k.name + " --watch",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: completeRemote(1, k.complete),
	}
	watchFlag(cmd, &watch)
	if k.name == "revisions" {
		cmd.Flags().Uint32("limit", usualRevisions, "how many")
	}
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return look(cmd, watch, func(ctx context.Context, v *viewer) (string, error) {
			l, err := k.list(ctx, v, nameIn(args))
			if err != nil {
				return "", err
			}
			return render(cmd, func(s console.Style, w *page) error {
				return console.Show(w, s, format.Format, l.value, func() *console.Table { return l.table })
			})
		})
	}
	return cmd
}

// watchFlag adds --watch.
func watchFlag(cmd *cobra.Command, watch *bool) {
	cmd.Flags().BoolVarP(watch, "watch", "w", false, "show it anew whenever it changes")
}

// nameIn returns the name that was given, or "".
func nameIn(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// number writes a revision, and nothing for none.
func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// unknown refuses a name that nothing has.
func unknown(what, name, hint string) error {
	return problem("RW7507", what+" "+quoted(name), "the controller's fabric has none of that name", hint)
}
