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

	api.GatewayServiceAnswerProcedure: agents,

	api.RoutingServiceListSessionsProcedure: readers,
	api.RoutingServiceListRoutesProcedure:   readers,
	api.RoutingServiceDrainProcedure:        writers,
	api.RoutingServiceUndrainProcedure:      writers,

	api.FabricServicePreviewProcedure:       readers,
	api.FabricServiceGetRevisionProcedure:   readers,
	api.FabricServiceListRevisionsProcedure: readers,
	api.FabricServiceListGatewaysProcedure:  readers,
	api.FabricServiceApplyProcedure:         writers,

	api.RolloutServiceGetRolloutProcedure:    readers,
	api.RolloutServicePauseRolloutProcedure:  writers,
	api.RolloutServiceResumeRolloutProcedure: writers,
	api.RolloutServiceAbortRolloutProcedure:  writers,
	api.RolloutServiceRetryGatewayProcedure:  writers,

	api.AccessServiceCreateTokenProcedure: admins,
	api.AccessServiceListTokensProcedure:  admins,
	api.AccessServiceRevokeTokenProcedure: admins,

	api.ClusterServiceJoinProcedure:             anybody, // the token says who may
	api.ClusterServiceListControllersProcedure:  readers,
	api.ClusterServiceGetControllerProcedure:    readers,
	api.ClusterServiceRemoveControllerProcedure: admins,
	api.ClusterServiceBackupProcedure:           admins,
	api.MemberServiceListMembersProcedure:       admins,
	api.MemberServiceRevokeMemberProcedure:      admins,

	api.AuditServiceListEntriesProcedure:   admins,
	api.AuditServiceReadLogProcedure:       admins,
	api.AuditServiceTrimLogProcedure:       admins,
	api.AuditServiceGetCheckpointProcedure: readers, // who keeps checkpoints elsewhere needs to see nothing else
}

// bounded is every procedure that somebody may call who is bound to places, if his role may: what it answers and changes is then bound to them, too.
// Whatever shows or changes more is not here.
var bounded = map[string]bool{
	api.EnrollmentServiceRenewProcedure:    true,
	api.FabricServicePreviewProcedure:      true,
	api.FabricServiceApplyProcedure:        true,
	api.FabricServiceListGatewaysProcedure: true,
	api.RolloutServiceGetRolloutProcedure:  true,

	api.RoutingServiceListSessionsProcedure: true,
	api.RoutingServiceListRoutesProcedure:   true,
	api.RoutingServiceDrainProcedure:        true,
	api.RoutingServiceUndrainProcedure:      true,
}

// MayBound reports whether somebody who is bound to places may call a procedure.
func MayBound(procedure string, id Identity) bool { return bounded[procedure] && May(procedure, id) }

// May reports whether somebody may call a procedure, named as the path of its request: "/ropeway.v1.FabricService/Apply". Any other
// spelling is another procedure, which nobody may call.
func May(procedure string, id Identity) bool {
	who := calls[procedure]
	if slices.Contains(who, "") {
		return true
	}
	return id.Valid() && slices.Contains(who, id.Role)
}
