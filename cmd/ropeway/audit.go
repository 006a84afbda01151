package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/audit"
	"ropeway/internal/console"
)

func newAuditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "Show and prove who did what", Args: cobra.NoArgs,
		Long: `The controller writes down who changed what, from where, and what was refused, in a log that nobody can change unseen: keep what "audit checkpoint"
prints where the controllers are not, and "audit verify" proves of any later export that nothing was removed or rewritten.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuditListCommand(), newAuditCheckpointCommand(), newAuditExportCommand(), newAuditVerifyCommand(), newAuditTrimCommand())
	return cmd
}

// An auditLine is a row of audit list.
type auditLine struct {
	Position uint64        `json:"position"`
	At       time.Time     `json:"at"`
	Until    time.Time     `json:"until,omitzero"`
	Count    int64         `json:"count,omitempty"`
	Who      string        `json:"who"`
	What     string        `json:"what"`
	Object   string        `json:"object,omitempty"`
	Outcome  audit.Outcome `json:"outcome"`
	Code     string        `json:"code,omitempty"`
	From     string        `json:"from,omitempty"`
	Revision uint64        `json:"revision,omitempty"`
	Override []string      `json:"override,omitempty"`
	Detail   string        `json:"detail,omitempty"`
}

func auditLineOf(x *ropewayv1.AuditEntry) auditLine {
	e, err := audit.Decode([]byte(x.Entry))
	if err != nil {
		return auditLine{Position: x.Position, What: "unreadable", Detail: err.Error()}
	}
	l := auditLine{
		Position: x.Position, At: time.UnixMilli(e.At).UTC(), Count: e.Count, Who: e.Who, What: e.What, Object: e.Object, Outcome: e.Outcome, Code: e.Code,
		From: e.From, Revision: e.Revision, Override: e.Override, Detail: e.Detail,
	}
	if e.Until > 0 {
		l.Until = time.UnixMilli(e.Until).UTC()
	}
	return l
}

// auditQuery is what the flags of audit list say.
type auditQuery struct {
	limit     uint32
	since     string
	who, what string
	revision  uint64
}

func newAuditListCommand() *cobra.Command {
	var l auditQuery
	cmd := &cobra.Command{
		Use: "list", Short: "Show who did what, the newest first", Args: cobra.NoArgs,
		Long: `List shows what was done and what was refused, the newest first. --what takes an action (fabric.apply, fabric.override, key.register, token.create,
token.revoke, member.enroll, member.replace, member.renew, member.revoke, ...) or the first part of its name.`,
		Example: `  ropeway audit list --since 24h --what fabric
  ropeway audit list --who operator/ann -o json`,
	}
	cmd.Flags().Uint32Var(&l.limit, "limit", 50, "how many")
	cmd.Flags().StringVar(&l.since, "since", "", "not older than this: 24h, 2027-03-01, or 2027-03-01T12:00:00Z")
	cmd.Flags().StringVar(&l.who, "who", "", "of this identity: operator/ann, gateway/use1-a, nobody, ropewayd")
	cmd.Flags().StringVar(&l.what, "what", "", "this action, or group of actions")
	cmd.Flags().Uint64Var(&l.revision, "revision", 0, "about this revision of the fabric")
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		req, err := l.request(time.Now())
		if err != nil {
			return err
		}
		lines := []auditLine{}
		if err := talk(cmd, func(r *remote) error { lines, err = l.fetch(cmd.Context(), r, req); return err }); err != nil {
			return err
		}
		return console.Show(cmd.OutOrStdout(), styleOf(cmd, cmd.OutOrStdout()), format.Format, lines, func() *console.Table { return auditTable(lines) })
	}
	return cmd
}

func (l *auditQuery) request(now time.Time) (*ropewayv1.ListEntriesRequest, error) {
	req := &ropewayv1.ListEntriesRequest{Limit: l.limit, Who: l.who, What: l.what, Revision: l.revision}
	if l.since == "" {
		return req, nil
	}
	if d, err := time.ParseDuration(l.since); err == nil && d >= 0 {
		req.Since = now.Add(-d).UnixMilli()
		return req, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, l.since); err == nil {
			req.Since = at.UnixMilli()
			return req, nil
		}
	}
	return nil, problem("RW6001", "--since", "it is neither a duration nor a time", "give it as 24h, 2027-03-01 or 2027-03-01T12:00:00Z")
}

// fetch asks until it has as many as were asked for, or there are no more.
func (l *auditQuery) fetch(ctx context.Context, r *remote, req *ropewayv1.ListEntriesRequest) ([]auditLine, error) {
	lines := []auditLine{}
	for {
		answer, err := r.audit.ListEntries(ctx, req)
		if err != nil {
			return nil, err
		}
		for _, x := range answer.Entries {
			lines = append(lines, auditLineOf(x))
		}
		if answer.Next == 0 || len(lines) >= int(l.limit) {
			return lines, nil
		}
		req.Before, req.Limit = answer.Next, l.limit-uint32(len(lines))
	}
}

func auditTable(lines []auditLine) *console.Table {
	t := &console.Table{Columns: []console.Column{
		{Title: "#", Right: true}, {Title: "AT"}, {Title: "WHO"}, {Title: "WHAT"}, {Title: "OBJECT"}, {Title: "OUTCOME"}, {Title: "TIMES", Right: true},
		{Title: "FROM", Wide: true}, {Title: "REVISION", Wide: true}, {Title: "DETAIL"},
	}}
	for _, l := range lines {
		outcome, times, detail := string(l.Outcome), "", l.Detail
		if l.Code != "" {
			outcome += " " + l.Code
		}
		if l.Count > 0 {
			times = fmt.Sprint(l.Count)
		}
		if len(l.Override) > 0 {
			detail = fmt.Sprintf("in spite of %v: %s", l.Override, detail)
		}
		row := []string{fmt.Sprint(l.Position), l.At.Format(time.RFC3339), l.Who, l.What, l.Object, outcome, times, l.From, number(l.Revision), detail}
		for i := range row {
			row[i] = console.Visible(row[i])
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
