package main

import (
	"context"
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

// retry asks the controller that a gateway is connected to, which may be any.
func (r *remote) retry(ctx context.Context, gateway string) (*ropewayv1.RetryGatewayResponse, error) {
	req := &ropewayv1.RetryGatewayRequest{Gateway: gateway}
	answer, err := r.rollouts.RetryGateway(ctx, req)
	if err == nil || !strings.Contains(err.Error(), elsewhere) {
		return answer, err
	}
	known, listErr := r.cluster.ListControllers(ctx, &ropewayv1.ListControllersRequest{})
	if listErr != nil {
		return nil, listErr
	}
	for _, c := range known.Controllers {
		if c.Url == "" || c.Url == r.server {
			continue
		}
		client, clientErr := r.member.HTTP(c.Url)
		if clientErr != nil {
			return nil, clientErr
		}
		answer, err = ropewayv1connect.NewRolloutServiceClient(client, c.Url).RetryGateway(ctx, req)
		client.CloseIdleConnections()
		if err == nil || !strings.Contains(err.Error(), elsewhere) && !isGone(err) {
			return answer, err
		}
	}
	return nil, err
}
