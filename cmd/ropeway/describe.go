package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ropeway/internal/console"
	"ropeway/internal/diag"
)

// A detail is all that is known of one thing, for people.
type detail struct {
	title string
	facts []fact
}

// A fact is a line of a detail. One without a value is left out.
type fact struct{ name, value string }

func newDescribeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "describe", Short: "Tell all that the controller knows of something", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, k := range kinds() {
		cmd.AddCommand(newDescribeKindCommand(k))
	}
	return cmd
}

func newDescribeKindCommand(k kind) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: k.name + " [NAME]", Aliases: []string{k.one}, Short: "Tell all of " + k.name, Long: "Tell all that is known of " + k.name + ". NAME may be " + k.named + ".",
		Example: "  ropeway describe " + k.one + " " + exampleOf(k.one),
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: completeRemote(1, k.complete),
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "tell it anew whenever it changes")
	format := outputFlag(cmd, console.Text, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return look(cmd, watch, func(ctx context.Context, v *viewer) (string, error) {
			l, err := k.list(ctx, v, nameIn(args))
			if err != nil {
				return "", err
			}
			return render(cmd, func(s console.Style, w *page) error {
				if format.Format != console.Text {
					return console.Encode(w, format.Format, l.value)
				}
				details, err := l.details()
				_, _ = w.WriteString(detailText(s, details)) // memory takes it
				return err
			})
		})
	}
	return cmd
}

func exampleOf(one string) string {
	return map[string]string{"gateway": "use1-a", "link": "use1-a,euw1-a", "peer": "use1-a", "prefix": "10.10.0.0/16", "revision": "12"}[one]
}

// detailText writes details, the facts below each title in two columns.
func detailText(s console.Style, details []detail) string {
	var b strings.Builder
	for i, d := range details {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s\n", s.Bold(d.title))
		width := 0
		for _, f := range d.facts {
			width = max(width, len(f.name))
		}
		for _, f := range d.facts {
			if f.value == "" {
				continue
			}
			lines := strings.Split(f.value, "\n")
			fmt.Fprintf(&b, "  %s  %s\n", s.Dim(fmt.Sprintf("%-*s", width, f.name)), lines[0])
			for _, l := range lines[1:] {
				fmt.Fprintf(&b, "  %*s  %s\n", width, "", l)
			}
		}
	}
	return b.String()
}

func quoted(name string) string { return diag.Quote(name) }
