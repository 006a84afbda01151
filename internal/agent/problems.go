package agent

import "ropeway/internal/diag"

// What the agent reports; see docs/errors.md.
const (
	codeRunning      diag.Code = "RW4001"
	codePlanUnread   diag.Code = "RW4002"
	codePlanInvalid  diag.Code = "RW4003"
	codePlanForeign  diag.Code = "RW4004"
	codePlanKey      diag.Code = "RW4005"
	codeKeyExposed   diag.Code = "RW4006"
	codePlanConflict diag.Code = "RW4008"
	codePlanNotKept  diag.Code = "RW4009"
	codeStepFailed   diag.Code = "RW4010"
	codeReadBack     diag.Code = "RW4011"
	codeListen       diag.Code = "RW4012"
	codeNotRunning   diag.Code = "RW4013"
	codeUnusable     diag.Code = "RW4014"
	codeKeptDamaged  diag.Code = "RW4015"
	codeNotDrained   diag.Code = "RW4018"
	codeWentBack     diag.Code = "RW4020"
	codeStale        diag.Code = "RW4021"
	codePlanNewer    diag.Code = "RW4022"
)
