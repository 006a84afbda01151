package main

import (
	"context"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/compile"
	"ropeway/internal/console"
)

// A viewer is what somebody who looks at the fabric has fetched so far.
type viewer struct {
	remote   *remote
	cmd      *cobra.Command
	answer   *ropewayv1.ListGatewaysResponse
	compiler compile.Compiler
	newest   *version
	promise  *promise // nil: nobody asked for one yet
}

// version returns the newest revision, which is fetched anew only where there is another.
func (v *viewer) version(ctx context.Context) (*version, error) {
	if v.answer.Revision == 0 {
		return nil, noRevision(0)
	}
	if v.newest == nil || v.newest.number != v.answer.Revision {
		next, err := v.remote.version(ctx, v.answer.Revision, &v.compiler)
		if err != nil {
			return nil, err
		}
		v.newest = next
	}
	return v.newest, nil
}

// gateways returns every gateway, by name.
func (v *viewer) gateways() map[string]gatewayLine {
	out := map[string]gatewayLine{}
	for _, g := range v.answer.Gateways {
		out[g.Name] = gatewayLineOf(g)
	}
	return out
}

// A page is text on its way to the screen.
type page struct{ strings.Builder }

// render writes something in the style of the command's output.
func render(cmd *cobra.Command, write func(console.Style, *page) error) (string, error) {
	var p page
	err := write(styleOf(cmd, cmd.OutOrStdout()), &p)
	return p.String(), err
}

// denied reports whether a controller says that somebody may not ask that.
func denied(err error) bool { return connect.CodeOf(err) == connect.CodePermissionDenied }
