package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/console"
)

func newGetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get", Short: "Show what the controller knows", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newGetGatewaysCommand(), newGetRevisionsCommand())
	return cmd
}

// A gatewayLine is a row of get gateways.
type gatewayLine struct {
	Name      string    `json:"name"`
	Place     string    `json:"place"`
	State     string    `json:"state"` // not enrolled, away, behind, ill or well
	Epoch     uint64    `json:"epoch"` // that it should have
	Applied   uint64    `json:"applied"`
	Connected bool      `json:"connected"`
	Message   string    `json:"message,omitempty"`
	Reported  time.Time `json:"reported,omitzero"`
}

func gatewayLineOf(g *ropewayv1.Gateway) gatewayLine {
	l := gatewayLine{Name: g.Name, Place: g.Place, Epoch: g.Epoch, Connected: g.Connected}
	if r := g.Reported; r != nil {
		l.Applied, l.Message, l.Reported = r.AppliedEpoch, r.Message, r.At.AsTime()
	}
	switch {
	case !g.Enrolled:
		l.State = "not enrolled"
	case !g.Connected:
		l.State = "away"
	case g.Reported == nil || l.Applied < l.Epoch:
		l.State = "behind"
	case !g.Reported.Healthy:
		l.State = "ill"
	default:
		l.State = "well"
	}
	return l
}

func newGetGatewaysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "gateways", Short: "Show every gateway, and which revision it follows", Args: cobra.NoArgs}
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		lines := []gatewayLine{}
		err := talk(cmd, func(r *remote) error {
			answer, err := r.fabric.ListGateways(cmd.Context(), &ropewayv1.ListGatewaysRequest{})
			for _, g := range answer.GetGateways() {
				lines = append(lines, gatewayLineOf(g))
			}
			return err
		})
		if err != nil {
			return err
		}
		return console.Show(cmd.OutOrStdout(), styleOf(cmd, cmd.OutOrStdout()), format.Format, lines, func() *console.Table { return gatewayTable(lines) })
	}
	return cmd
}

func gatewayTable(lines []gatewayLine) *console.Table {
	t := &console.Table{Columns: []console.Column{
		{Title: "GATEWAY"}, {Title: "PLACE"}, {Title: "STATE"}, {Title: "HAS"}, {Title: "WANTS"}, {Title: "REPORTED", Wide: true}, {Title: "MESSAGE"},
	}}
	for _, l := range lines {
		reported := ""
		if !l.Reported.IsZero() {
			reported = l.Reported.Format(time.RFC3339)
		}
		t.Rows = append(t.Rows, []string{l.Name, l.Place, l.State, number(l.Applied), number(l.Epoch), reported, console.Visible(l.Message)})
	}
	return t
}

// number writes a revision, and nothing for none.
func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// A revisionLine is a row of get revisions.
type revisionLine struct {
	Number   uint64    `json:"number"`
	At       time.Time `json:"at"`
	Author   string    `json:"author"`
	Kind     string    `json:"kind"`
	Override []string  `json:"override,omitempty"`
	Reason   string    `json:"reason,omitempty"`
}

func newGetRevisionsCommand() *cobra.Command {
	var limit uint32
	cmd := &cobra.Command{Use: "revisions", Short: "Show what changed the fabric, the newest first", Args: cobra.NoArgs}
	cmd.Flags().Uint32Var(&limit, "limit", 20, "how many")
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		lines := []revisionLine{}
		err := talk(cmd, func(r *remote) error {
			answer, err := r.fabric.ListRevisions(cmd.Context(), &ropewayv1.ListRevisionsRequest{Limit: limit})
			for _, x := range answer.GetRevisions() {
				lines = append(lines, revisionLine{x.Number, x.At.AsTime(), x.Author, x.Kind, x.Override, x.Reason})
			}
			return err
		})
		if err != nil {
			return err
		}
		return console.Show(cmd.OutOrStdout(), styleOf(cmd, cmd.OutOrStdout()), format.Format, lines, func() *console.Table { return revisionTable(lines) })
	}
	return cmd
}

func revisionTable(lines []revisionLine) *console.Table {
	t := &console.Table{Columns: []console.Column{{Title: "REVISION"}, {Title: "AT"}, {Title: "AUTHOR"}, {Title: "BY"}, {Title: "REASON"}}}
	for _, l := range lines {
		t.Rows = append(t.Rows, []string{number(l.Number), l.At.Format(time.RFC3339), console.Visible(l.Author), l.Kind, console.Visible(l.Reason)})
	}
	return t
}
