package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	ropewayv1 "ropeway/api/ropeway/v1"
)

// completionPatience is how long somebody who presses a key waits for a controller.
const completionPatience = 2 * time.Second

// completeRemote offers what a controller answers, for the first arguments of a command. A completion does not complain.
func completeRemote(most int, offer func(context.Context, *remote) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most || keeper() == "" {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), completionPatience)
		defer cancel()
		cmd.SetContext(ctx)
		r, err := connectTo(cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer r.http.CloseIdleConnections()
		return offer(ctx, r), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

func completeRevisions(most int) cobra.CompletionFunc { return completeRemote(most, revisionNumbers) }

// revisionNumbers offers the last revisions.
func revisionNumbers(ctx context.Context, r *remote) []string {
	answer, err := r.fabric.ListRevisions(ctx, &ropewayv1.ListRevisionsRequest{Limit: 30})
	if err != nil {
		return nil
	}
	var out []string
	for _, x := range answer.Revisions {
		out = append(out, number(x.Number)+"\t"+x.Kind+" by "+x.Author)
	}
	return out
}

// completeRemoteGateways offers the gateways of the controller's fabric.
func completeRemoteGateways(ctx context.Context, r *remote) []string {
	answer, err := r.fabric.ListGateways(ctx, &ropewayv1.ListGatewaysRequest{})
	if err != nil {
		return nil
	}
	var out []string
	for _, g := range answer.Gateways {
		out = append(out, g.Name)
	}
	return out
}
