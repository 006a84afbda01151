package main

import (
	"errors"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/diag"
	"ropeway/internal/member"
)

// A remote is a controller that this user belongs to.
type remote struct {
	server   string
	http     *http.Client
	member   *member.Member // who speaks
	fabric   ropewayv1connect.FabricServiceClient
	access   ropewayv1connect.AccessServiceClient
	members  ropewayv1connect.MemberServiceClient
	cluster  ropewayv1connect.ClusterServiceClient
	rollouts ropewayv1connect.RolloutServiceClient
	audit    ropewayv1connect.AuditServiceClient
}

func connectTo(cmd *cobra.Command) (*remote, error) {
	m, err := loadMember(cmd)
	if err != nil {
		return nil, err
	}
	server := m.Servers[0]
	client, err := m.HTTP(server)
	if err != nil {
		return nil, err
	}
	return &remote{
		server: server, http: client, member: m,
		fabric:   ropewayv1connect.NewFabricServiceClient(client, server),
		access:   ropewayv1connect.NewAccessServiceClient(client, server),
		members:  ropewayv1connect.NewMemberServiceClient(client, server),
		cluster:  ropewayv1connect.NewClusterServiceClient(client, server),
		rollouts: ropewayv1connect.NewRolloutServiceClient(client, server),
		audit:    ropewayv1connect.NewAuditServiceClient(client, server),
	}, nil
}

// talk connects, and explains what the conversation came to.
func talk(cmd *cobra.Command, about func(r *remote) error) error {
	r, err := connectTo(cmd)
	if err != nil {
		return err
	}
	defer r.http.CloseIdleConnections()
	return r.explain(about(r))
}

// explain turns an answer of the controller into what a person reads: its own words where it refused, else that it is not there.
func (r *remote) explain(err error) error {
	var answer *connect.Error
	if !errors.As(err, &answer) {
		return err
	}
	switch answer.Code() {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded:
		return problem("RW7007", "controller "+r.server, answer.Message(), "is it up, and reachable from here? Gateways go on without it")
	case connect.CodeUnimplemented:
		return problem("RW7010", "controller "+r.server, answer.Message(), "upgrade the controllers, or use the command line of their version")
	case connect.CodePermissionDenied, connect.CodeUnauthenticated:
		return problem("RW7008", "controller "+r.server, answer.Message(), "an administrator can make a token for another role: ropeway token create")
	}
	return r.refused(answer.Message())
}

// refused is what a controller found wrong, a line for each thing: of a file it says all at once.
func (r *remote) refused(message string) error {
	var list diag.List
	for line := range strings.SplitSeq(message, "\n") {
		list = append(list, problem("RW7009", "controller "+r.server, line, ""))
	}
	last := len(list) - 1
	list[last].Hint = "nothing was changed"
	if last == 0 {
		return list[0]
	}
	return list
}
