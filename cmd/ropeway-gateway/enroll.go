package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ropeway/internal/courier"
	"ropeway/internal/files"
	"ropeway/internal/identity"
	"ropeway/internal/member"
	"ropeway/internal/plankey"
	"ropeway/internal/token"
)

func newEnrollCommand() *cobra.Command {
	var d dirs
	var server, text, planKey string
	cmd := &cobra.Command{
		Use:   "enroll --server URL --token TOKEN",
		Short: "Make this machine the gateway that a token is for",
		Long: `Enroll redeems a token of "ropeway token create --gateway NAME", which serves once. The gateway makes its own keys; only public halves travel.
What it gets stands in the state directory, readable by its owner alone, and "ropeway-gateway run" without --plan takes its plans from the controller from
then on. The token says whom to trust, so no certificate has to be installed first. "--token -" reads it from standard input.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&server, "server", "", "the controller, as https://HOST:PORT")
	cmd.Flags().StringVar(&text, "token", "", "the token, or - for standard input")
	cmd.Flags().StringVar(&planKey, "plan-key", "", "public half of the key that signs plans, where you know it: nobody else's is believed")
	_ = cmd.MarkFlagRequired("server")
	_ = cmd.MarkFlagRequired("token")
	d.addState(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if text == "-" {
			if _, err := fmt.Fscan(cmd.InOrStdin(), &text); err != nil {
				return problem("RW4016", "standard input holds no token", "give the token alone, as it was printed")
			}
		}
		t, err := token.Parse(text)
		if err != nil {
			return problem("RW4016", err.Error(), "copy it whole")
		}
		if err := files.SecretDir(d.state); err != nil {
			return problem("RW4003", err.Error(), "check its owner, mode and file system")
		}
		with := member.Beside{}
		if planKey != "" {
			if with.PlanKey, err = plankey.Public([]byte(planKey)); err != nil {
				return problem("RW4016", "--plan-key: "+err.Error(), "give the line as ssh-add -L prints it")
			}
		}
		private, err := identity.In(d.state).LoadOrMake(identity.Gateway)
		if err != nil {
			return err
		}
		with.PublicKeys = map[string]string{identity.Gateway: private.Public().String()}
		m, err := member.Enroll(cmd.Context(), courier.MemberFile(d.state), server, t, with)
		if err != nil {
			return problem("RW4016", err.Error(), "is the controller there, and the token unused and not too old?")
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "This machine is %s of fabric %s. To follow its plans: ropeway-gateway run\n", m.Identity, m.Fabric)
		return err
	}
	return cmd
}
