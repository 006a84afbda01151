package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/console"
)

func newTokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Short: "Let gateways and people in", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTokenCreateCommand(), newTokenListCommand(), newTokenRevokeCommand())
	return cmd
}

func newTokenCreateCommand() *cobra.Command {
	var ttl time.Duration
	var replace bool
	var places []string
	who := map[string]*string{}
	cmd := &cobra.Command{
		Use:   "create --gateway NAME",
		Short: "Make a token that serves once",
		Long: `Create prints a token that makes the one who redeems it the gateway, or the person of a role, that you name: a gateway with
"ropeway-gateway enroll", a person with "ropeway login". It serves once, and is shown once.

With --controller, whoever redeems it ("ropewayd serve --join") becomes a controller and gets the keys of the fabric's authority: hand it to nobody else.`,
		Args: cobra.NoArgs,
	}
	roles := []string{"gateway", "viewer", "operator", "admin", "controller"}
	for _, role := range roles {
		who[role] = cmd.Flags().String(role, "", "for the "+role+" of this name")
	}
	cmd.MarkFlagsOneRequired(roles...)
	cmd.MarkFlagsMutuallyExclusive(roles...)
	cmd.Flags().BoolVar(&replace, "replace", false, "let it take the place of the one who is that already: a machine that was replaced")
	cmd.Flags().StringSliceVar(&places, "place", nil, "of a viewer or an operator: bind them to these places, as in use1,hq")
	cmd.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long it serves: 1m to 168h")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		req := &ropewayv1.CreateTokenRequest{Ttl: durationpb.New(ttl), Replace: replace, Places: places}
		for role, name := range who {
			if *name != "" {
				req.Identity = role + "/" + *name
			}
		}
		return talk(cmd, func(r *remote) error {
			t, err := r.access.CreateToken(cmd.Context(), req)
			if err != nil {
				return err
			}
			return say(cmd, "%s\n", t.Token)
		})
	}
	return cmd
}

// A tokenLine is a row of token list.
type tokenLine struct {
	ID       string    `json:"id"`
	Identity string    `json:"identity"`
	Places   []string  `json:"places,omitempty"` // that it binds to
	Author   string    `json:"author"`
	Expires  time.Time `json:"expires"`
}

func newTokenListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the tokens that could still serve", Args: cobra.NoArgs}
	format := outputFlag(cmd, console.TableFormat, console.Wide, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		lines := []tokenLine{}
		err := talk(cmd, func(r *remote) error {
			answer, err := r.access.ListTokens(cmd.Context(), &ropewayv1.ListTokensRequest{})
			for _, t := range answer.GetTokens() {
				lines = append(lines, tokenLine{t.Id, t.Identity, t.Places, t.Author, t.Expires.AsTime()})
			}
			return err
		})
		if err != nil {
			return err
		}
		return console.Show(cmd.OutOrStdout(), styleOf(cmd, cmd.OutOrStdout()), format.Format, lines, func() *console.Table {
			t := &console.Table{Columns: []console.Column{{Title: "ID"}, {Title: "FOR"}, {Title: "PLACES"}, {Title: "EXPIRES"}, {Title: "MADE BY", Wide: true}}}
			for _, l := range lines {
				t.Rows = append(t.Rows, []string{l.ID, l.Identity, strings.Join(l.Places, ","), l.Expires.Format(time.RFC3339), l.Author})
			}
			return t
		})
	}
	return cmd
}

func newTokenRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Make a token worthless", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return talk(cmd, func(r *remote) error {
				if _, err := r.access.RevokeToken(cmd.Context(), &ropewayv1.RevokeTokenRequest{Id: args[0]}); err != nil {
					return err
				}
				return say(cmd, "Token %s is worthless now.\n", console.Visible(args[0]))
			})
		},
	}
}
