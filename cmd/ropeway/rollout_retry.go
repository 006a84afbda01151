package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/console"
)

func newRolloutRetryCommand() *cobra.Command {
	return &cobra.Command{
		Use: "retry GATEWAY", Short: "Have a gateway try once more what it went back from by itself",
		Long: `Retry sends a gateway again the revision that it went back from (RW4020). Nobody does so by himself, for each try cuts the gateway off until it goes back
again, if it does: find out first what kept it from its controllers.`,
		Example: "  ropeway rollout retry use1-a",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: completeRemote(1, completeRemoteGateways),
		RunE: func(cmd *cobra.Command, args []string) error {
			return talk(cmd, func(r *remote) error {
				answer, err := r.retry(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return say(cmd, "Gateway %s tries revision %d again. ropeway get gateways shows what comes of it.\n", console.Visible(args[0]), answer.Revision)
			})
		},
	}
}

// elsewhere is the code of a controller that a gateway is not connected to.
const elsewhere = "RW7308"

// retry has a gateway try again what it went back from.
func (r *remote) retry(ctx context.Context, gateway string) (answer *ropewayv1.RetryGatewayResponse, err error) {
	err = r.wherever(func(client *http.Client, server string) (err error) {
		answer, err = ropewayv1connect.NewRolloutServiceClient(client, server).RetryGateway(ctx, &ropewayv1.RetryGatewayRequest{Gateway: gateway})
		return err
	})
	return answer, err
}

// wherever does something by way of the controller that a gateway is connected to, which may be any.
func (r *remote) wherever(do func(client *http.Client, server string) error) error {
	var last error
	for _, server := range r.member.All() {
		client, err := r.member.HTTP(server)
		if err != nil {
			return err
		}
		last = do(client, server)
		client.CloseIdleConnections()
		if last == nil || !strings.Contains(last.Error(), elsewhere) && !isGone(last) {
			return last
		}
	}
	return last
}
