package role

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "ropeway/api/ropeway/v1"
)

// may is who may call what, said a second time: per service, with the procedures that differ from the rest of theirs.
func may(service, method string, r Role) bool {
	switch {
	case service == "EnrollmentService" && method == "Enroll":
		return true
	case service == "EnrollmentService":
		return r == Gateway || r == Viewer || r == Operator || r == Admin
	case service == "GatewayService":
		return r == Gateway
	case service == "RoutingService" && (method == "Drain" || method == "Undrain"):
		return r == Operator || r == Admin
	case service == "RoutingService":
		return r == Viewer || r == Operator || r == Admin
	case service == "AuditService" && method == "GetCheckpoint":
		return r == Viewer || r == Operator || r == Admin
	case service == "AccessService" || service == "AuditService" || service == "MemberService":
		return r == Admin
	case service == "ClusterService" && method == "Join":
		return true
	case service == "ClusterService" && (method == "RemoveController" || method == "Backup"):
		return r == Admin
	case service == "ClusterService":
		return r == Viewer || r == Operator || r == Admin
	case service == "FabricService" && method == "Apply", service == "RolloutService" && method != "GetRollout":
		return r == Operator || r == Admin
	case service == "FabricService", service == "RolloutService":
		return r == Viewer || r == Operator || r == Admin
	}
	return false
}

// mayBound is the same of those who are bound to places.
func mayBound(service, method string, r Role) bool {
	switch service + "/" + method {
	case "EnrollmentService/Renew", "FabricService/ListGateways", "FabricService/Preview", "RolloutService/GetRollout",
		"RoutingService/ListSessions", "RoutingService/ListRoutes", "RoutingService/Drain", "RoutingService/Undrain":
		return may(service, method, r)
	case "FabricService/Apply":
		return r == Operator || r == Admin
	}
	return false
}

// TestEveryProcedureAndRole is the matrix of everything that the API has and everybody who could call it.
func TestEveryProcedureAndRole(t *testing.T) {
	procedures := procedures()
	callers := map[string]Identity{
		"nobody": {}, "gateway": {Gateway, "use1-a"}, "viewer": {Viewer, "ann"}, "operator": {Operator, "ann"}, "admin": {Admin, "ann"},
		"controller": {Controller, "one"}, "unknown role": {"root", "ann"}, "no role": {"", "ann"}, "admin without a name": {Admin, ""},
		"gateway with a name of its own making": {Gateway, "../x"},
	}
	asked := 0
	for _, path := range procedures {
		if _, ok := calls[path]; !ok {
			t.Errorf("%s is not in the table: decide who may call it", path)
			continue
		}
		service, method, _ := strings.Cut(strings.TrimPrefix(path, "/ropeway.v1."), "/")
		for who, id := range callers {
			want := may(service, method, id.Role) && (id.Valid() || method == "Enroll" || method == "Join")
			if got := May(path, id); got != want {
				t.Errorf("%s may call %s: %t, want %t", who, path, got, want)
			}
			if got := MayBound(path, id); got != (mayBound(service, method, id.Role) && id.Valid()) {
				t.Errorf("%s, bound to places, may call %s: %t", who, path, got)
			}
			for _, other := range []string{
				path[1:], "/" + path, path + "/", path + "x", path + "?", strings.ToLower(path), strings.Replace(path, "v1", "v2", 1), "/x" + path, " " + path,
				strings.Replace(path, "/ropeway", "/./ropeway", 1), strings.Replace(path, "Service/", "Service//", 1), strings.Replace(path, "Service/", "Service%2F", 1),
			} {
				if May(other, id) {
					t.Errorf("%s may call %q", who, other)
				}
			}
			asked++
		}
	}
	if len(procedures) != len(calls) || asked < 100 {
		t.Errorf("the API has %d procedures, the table %d, and %d questions were asked", len(procedures), len(calls), asked)
	}
}

func TestWhatIsNotListedIsDenied(t *testing.T) {
	for _, path := range []string{"", "/", "/ropeway.v1.AccessService", "/ropeway.v1.AccessService/", "/ropeway.v1.AccessService/DeleteEverything", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"} {
		for _, id := range []Identity{{}, {Admin, "ann"}, {Gateway, "use1-a"}} {
			if May(path, id) {
				t.Errorf("%v may call %q", id, path)
			}
		}
	}
}

// procedures returns the path of every procedure that the API describes.
func procedures() (paths []string) {
	protoregistry.GlobalFiles.RangeFilesByPackage("ropeway.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				paths = append(paths, "/"+string(service.FullName())+"/"+string(service.Methods().Get(j).Name()))
			}
		}
		return true
	})
	return paths
}
