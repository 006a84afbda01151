package main

import (
	"context"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/console"
	"ropeway/internal/diag"
	"ropeway/internal/role"
)

func newMemberCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "member", Short: "See who was let in, and put them out again", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newMemberListCommand(), newMemberRevokeCommand())
	return cmd
}

// A memberLine is a row of member list.
type memberLine struct {
	Identity string    `json:"identity"`
	State    string    `json:"state"` // member, revoked or expired
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until,omitzero"` // the end of the newest certificate, which renews itself while it is used
	Here     bool      `json:"connected"`
	Places   []string  `json:"places,omitempty"` // that a person is bound to
}

func memberLineOf(m *ropewayv1.Member, now time.Time) memberLine {
	l := memberLine{Identity: m.Identity, State: "member", Since: m.Since.AsTime(), Here: m.Connected, Places: m.Places}
	if m.Until != nil {
		l.Until = m.Until.AsTime()
	}
	switch {
	case m.Revoked:
		l.State = "revoked"
	case !l.Until.IsZero() && l.Until.Before(now):
		l.State = "expired" // it takes a token to come back
	}
	return l
}

func newMemberListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the gateways and people who were let in, since when and until when",
		Long: `List shows everybody who redeemed a token. A certificate is good for a day and renews itself while it is used; UNTIL is when the newest one ends.
An "expired" member was away for so long that only a new token brings him back.`,
		Example: "  ropeway member list", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
	}
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		lines := []memberLine{}
		err := talk(cmd, func(r *remote) error {
			answer, err := r.members.ListMembers(cmd.Context(), &ropewayv1.ListMembersRequest{})
			for _, m := range answer.GetMembers() {
				lines = append(lines, memberLineOf(m, time.Now()))
			}
			return err
		})
		if err != nil {
			return err
		}
		return console.Show(cmd.OutOrStdout(), styleOf(cmd, cmd.OutOrStdout()), format.Format, lines, func() *console.Table { return memberTable(lines) })
	}
	return cmd
}

func memberTable(lines []memberLine) *console.Table {
	t := &console.Table{Columns: []console.Column{{Title: "MEMBER"}, {Title: "STATE"}, {Title: "SINCE"}, {Title: "UNTIL"}, {Title: "CONNECTED"}, {Title: "PLACES", Wide: true}}}
	for _, l := range lines {
		here, until := "", ""
		if l.Here {
			here = "yes"
		}
		if !l.Until.IsZero() {
			until = l.Until.Format(time.RFC3339)
		}
		t.Rows = append(t.Rows, []string{l.Identity, l.State, l.Since.Format(time.RFC3339), until, here, strings.Join(l.Places, ", ")})
	}
	return t
}

func newMemberRevokeCommand() *cobra.Command {
	a := applying{atOnce: true, noWait: true}
	cmd := &cobra.Command{
		Use: "revoke ROLE/NAME", Short: "Put a gateway or a person out, at once and for good",
		Long: `Revoke makes a certificate worthless, and ends the connection that its owner has open. A gateway's key leaves the fabric too, in a revision of
its own, so that no other gateway speaks with it any more. The gateway itself keeps what it has until somebody takes it down, but nobody answers it.
With a new token the same name can be let in again.`,
		Example: "  ropeway member revoke gateway/use1-a\n  ropeway member revoke operator/ada --auto-approve",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: completeRemote(1, completeMembers),
	}
	cmd.Flags().BoolVar(&a.yes, "auto-approve", false, "do not ask")
	a.signing.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := role.Parse(args[0])
		if err != nil {
			return problem("RW6001", "member "+diag.Quote(args[0]), "it names nobody", "name a role and a name, as ropeway member list shows them: gateway/use1-a, operator/ada")
		}
		if !a.yes {
			if ok, err := ask(cmd, revokeQuestion(id)); err != nil || !ok {
				return err
			}
		}
		return talk(cmd, func(r *remote) error { return r.revoke(cmd, id, a) })
	}
	return cmd
}

func revokeQuestion(id role.Identity) string {
	if id.Role == role.Gateway {
		return "Put " + id.String() + " out? Every tunnel to it ends."
	}
	return "Put " + id.String() + " out?"
}

func (r *remote) revoke(cmd *cobra.Command, id role.Identity, a applying) error {
	done, err := r.members.RevokeMember(cmd.Context(), &ropewayv1.RevokeMemberRequest{Identity: id.String()})
	if connect.CodeOf(err) == connect.CodeNotFound {
		return problem("RW7505", "member "+id.String(), "nobody of that name is a member", "ropeway member list shows who is")
	}
	if err != nil {
		return err
	}
	text := "%s is a member no more."
	args := []any{id}
	if done.Revision > 0 {
		text, args = text+" Revision %d takes its key out of the fabric.", append(args, done.Revision)
	}
	if err := say(cmd, text+"\n", args...); err != nil || done.Revision > 0 || id.Role != role.Gateway {
		return err
	}
	w := wish{name: "the newest revision", renew: true}
	seen, err := r.preview(cmd.Context(), w.preview())
	if err != nil || seen.toSign == nil || !seen.Changed {
		return err // no other gateway knows its key
	}
	if err := say(cmd, "Its key is in the fabric until you sign that it is not.\n"); err != nil {
		return err
	}
	return a.settle(cmd, r, w, seen)
}

func completeMembers(ctx context.Context, r *remote) []string {
	answer, err := r.members.ListMembers(ctx, &ropewayv1.ListMembersRequest{})
	if err != nil {
		return nil
	}
	var out []string
	for _, m := range answer.Members {
		if !m.Revoked {
			out = append(out, m.Identity)
		}
	}
	return out
}
