package role

import (
	"slices"

	api "ropeway/api/ropeway/v1/ropewayv1connect"
)

var (
	anybody = []Role{""} // no certificate, or any
	holders = []Role{Gateway, Viewer, Operator, Admin}
	readers = []Role{Viewer, Operator, Admin}
	writers = []Role{Operator, Admin}
	admins  = []Role{Admin}
	agents  = []Role{Gateway}
)

// calls is every procedure of the API with those who may call it.
var calls = map[string][]Role{
	api.EnrollmentServiceEnrollProcedure: anybody, // the token says who may
	api.EnrollmentServiceRenewProcedure:  holders,

	api.GatewayServiceWatchProcedure:  agents,
	api.GatewayServiceReportProcedure: agents,

	api.FabricServicePreviewProcedure:       readers,
	api.FabricServiceGetRevisionProcedure:   readers,
	api.FabricServiceListRevisionsProcedure: readers,
	api.FabricServiceListGatewaysProcedure:  readers,
	api.FabricServiceApplyProcedure:         writers,

	api.AccessServiceCreateTokenProcedure: admins,
	api.AccessServiceListTokensProcedure:  admins,
	api.AccessServiceRevokeTokenProcedure: admins,

	api.ClusterServiceJoinProcedure:             anybody, // the token says who may
	api.ClusterServiceListControllersProcedure:  readers,
	api.ClusterServiceGetControllerProcedure:    readers,
	api.ClusterServiceRemoveControllerProcedure: admins,
	api.ClusterServiceBackupProcedure:           admins,
}

// May reports whether somebody may call a procedure, named as the path of its request: "/ropeway.v1.FabricService/Apply". Any other
// spelling is another procedure, which nobody may call.
func May(procedure string, id Identity) bool {
	who := calls[procedure]
	if slices.Contains(who, "") {
		return true
	}
	return id.Valid() && slices.Contains(who, id.Role)
}
