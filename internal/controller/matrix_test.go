package controller

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/key"
	"ropeway/internal/role"
)

// callers are everybody who could call; bound says that they are bound to places, former that they are members no more.
func callers(h *here) map[string]struct {
	who           *somebody
	bound, former bool
} {
	type caller = struct {
		who           *somebody
		bound, former bool
	}
	former := h.somebody("admin/former")
	must(h.t, h.opts.Store.Revoke(h.t.Context(), "admin/former"))
	replaced := h.somebody("admin/replaced")
	h.somebody("admin/replaced")
	return map[string]caller{
		"nobody":                       {&somebody{h: h}, false, false},
		"a gateway":                    {h.somebody("gateway/gw1"), false, false},
		"a gateway of no fabric":       {h.somebody("gateway/gw9"), false, false},
		"a viewer":                     {h.somebody("viewer/ann"), false, false},
		"an operator":                  {h.somebody("operator/ann"), false, false},
		"an admin":                     {h.somebody("admin/ann"), false, false},
		"a viewer of east":             {h.somebody("viewer/east", "east"), true, false},
		"an operator of east":          {h.somebody("operator/east", "east"), true, false},
		"an operator of nowhere":       {h.somebody("operator/nowhere", "nowhere"), true, false},
		"an admin who was revoked":     {former, false, true},
		"an admin whose place is lost": {replaced, false, true},
	}
}

// TestEveryCallAndCaller asks the real server for every procedure of the API as everybody who could. Whether he may is the table's to say, of which
// package role's test has the second statement; here it is whether the door keeps to it.
func TestEveryCallAndCaller(t *testing.T) {
	h := serveHere(t)
	h.apply(0, file(open))
	asked := 0
	for who, caller := range callers(h) {
		client := caller.who.http(t, "h2")
		protoregistry.GlobalFiles.RangeFilesByPackage("ropeway.v1", func(f protoreflect.FileDescriptor) bool {
			for i := range f.Services().Len() {
				for j := range f.Services().Get(i).Methods().Len() {
					method := f.Services().Get(i).Methods().Get(j)
					path := "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
					may := role.May(path, caller.who.identity) && !caller.former
					if caller.bound {
						may = role.MayBound(path, caller.who.identity)
					}
					asked++
					if got := passes(t, client, h.url()+path, method.IsStreamingServer()); got != may {
						t.Errorf("%s may call %s: %t, want %t", who, path, got, may)
					}
					for _, other := range []string{path + "/", "/" + path, strings.ToLower(path)} {
						if passes(t, client, h.url()+other, false) && other != path {
							t.Errorf("%s may call %s", who, other)
						}
					}
				}
			}
			return true
		})
	}
	if asked < 100 {
		t.Errorf("only %d questions were asked", asked)
	}
}

// passes reports whether the door lets a call through, whatever becomes of it then.
func passes(t *testing.T, client *http.Client, url string, stream bool) bool {
	t.Helper()
	kind, body := "application/json", []byte("{}")
	if stream {
		kind, body = "application/connect+json", []byte("\x00\x00\x00\x00\x02{}")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", kind)
	answer, err := client.Do(req)
	must(t, err)
	defer func() { _ = answer.Body.Close() }()
	text := make([]byte, 4096)
	n, _ := io.ReadAtLeast(answer.Body, text, 1)
	said := strings.Contains(string(text[:n]), errDenied.Error()) || strings.Contains(string(text[:n]), errUnknown.Error())
	return !said || !stream && answer.StatusCode == http.StatusOK // the audit log says it of others
}

// TestBoundToPlaces: who is bound to a place sees and changes what is the place's, and nothing else.
func TestBoundToPlaces(t *testing.T) {
	h := serveHere(t)
	text := string(file(closed))
	h.apply(0, []byte(text))
	ann, eve := h.somebody("operator/ann", "east").fabric(), h.somebody("viewer/eve", "west").fabric()
	for who, tt := range map[string]struct {
		of   ropewayv1connect.FabricServiceClient
		sees string
	}{"ann": {ann, "gw1"}, "eve": {eve, "gw2"}, "anybody": {h.somebody("viewer/bob").fabric(), "gw1 gw2"}, "nowhere": {h.somebody("viewer/nick", "north").fabric(), ""}} {
		list, err := tt.of.ListGateways(t.Context(), &ropewayv1.ListGatewaysRequest{})
		must(t, err)
		var names []string
		for _, g := range list.Gateways {
			names = append(names, g.Name)
		}
		if got := strings.Join(names, " "); got != tt.sees {
			t.Errorf("%s sees %q, want %q", who, got, tt.sees)
		}
	}

	own, foreign := strings.Replace(text, "192.0.2.1}", "192.0.2.11}", 1), strings.Replace(text, "192.0.2.2}", "192.0.2.12}", 1)
	widened := strings.Replace(text, "10.1.0.0/24", "10.1.0.0/16", 1)
	unproven := strings.Replace(own, closed, broken, 1)
	for what, tt := range map[string]struct{ text, code string }{
		"another's gateway": {foreign, "RW7604"}, "more addresses": {widened, "RW7604"}, "access to another's": {string(file(open)), "RW7604"},
	} {
		if _, err := ann.Preview(t.Context(), &ropewayv1.PreviewRequest{File: []byte(tt.text)}); err == nil || !strings.Contains(err.Error(), tt.code) {
			t.Errorf("a preview of %s: %v", what, err)
		}
		if _, err := ann.Apply(t.Context(), &ropewayv1.ApplyRequest{File: []byte(tt.text), Base: 1}); err == nil || !strings.Contains(err.Error(), tt.code) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := ann.Apply(t.Context(), &ropewayv1.ApplyRequest{File: []byte(unproven), Base: 1, Override: []string{"tests"}, Reason: "x"}); err == nil || !strings.Contains(err.Error(), "RW760") {
		t.Errorf("an override: %v", err)
	}
	if _, err := ann.Apply(t.Context(), &ropewayv1.ApplyRequest{File: []byte(own), Base: 1, Override: []string{"tests"}, Reason: "x"}); err == nil || !strings.Contains(err.Error(), "RW7605") {
		t.Errorf("an override: %v", err)
	}
	if _, err := eve.Apply(t.Context(), &ropewayv1.ApplyRequest{File: []byte(foreign), Base: 1}); connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("a viewer of the place: %v", err)
	}
	if n, err := h.opts.Store.NewestNumber(t.Context()); err != nil || n != 1 {
		t.Fatalf("what was refused changed something: revision %d, %v", n, err)
	}
	if done, err := ann.Apply(t.Context(), &ropewayv1.ApplyRequest{File: []byte(own), Base: 1}); err != nil || done.Revision != 2 {
		t.Errorf("her own gateway: %v", err)
	}

	admin := ropewayv1connect.NewAccessServiceClient(h.somebody("admin/ann").http(t, "h2"), h.url())
	for identity, places := range map[string][]string{"gateway/gw1": {"east"}, "admin/eve": {"east"}, "operator/eve": {"no place\n"}} {
		if _, err := admin.CreateToken(t.Context(), &ropewayv1.CreateTokenRequest{Identity: identity, Places: places}); err == nil || !strings.Contains(err.Error(), "RW7606") {
			t.Errorf("a token that binds %s to %q: %v", identity, places, err)
		}
	}
}

// Of a rollout they see their own gateways, and take no step of it.
func TestBoundToPlacesDuringARollout(t *testing.T) {
	h := serveHere(t)
	h.apply(0, file(open))
	for _, name := range []string{"gw1", "gw2"} {
		private, err := key.NewPrivate()
		must(t, err)
		must(t, h.desk.know(t.Context(), name, private.Public(), time.Now()))
	}
	r := change{author: "admin/test", name: "f", file: file(closed), base: 3, at: time.Now(), pace: pace{Waves: Waves{Soak: time.Hour, Timeout: time.Hour}}}
	if _, _, err := h.desk.apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	ann, bob := h.somebody("operator/ann", "west"), h.somebody("operator/bob")
	of := func(who *somebody) ropewayv1connect.RolloutServiceClient {
		return ropewayv1connect.NewRolloutServiceClient(who.http(t, "h2"), h.url())
	}
	seen := map[*somebody]string{}
	for _, who := range []*somebody{ann, bob} {
		answer, err := of(who).GetRollout(t.Context(), &ropewayv1.GetRolloutRequest{})
		must(t, err)
		for _, w := range answer.Rollout.Waves {
			seen[who] += fmt.Sprint(w.Gateways)
		}
	}
	if seen[ann] != "[][gw2]" || seen[bob] != "[gw1][gw2]" {
		t.Errorf("she sees %s, and who is bound to nothing %s", seen[ann], seen[bob])
	}
	for what, err := range map[string]error{
		"a pause": func() error {
			_, err := of(ann).PauseRollout(t.Context(), &ropewayv1.PauseRolloutRequest{})
			return err
		}(),
		"an abort": func() error {
			_, err := of(ann).AbortRollout(t.Context(), &ropewayv1.AbortRolloutRequest{})
			return err
		}(),
	} {
		if connect.CodeOf(err) != connect.CodePermissionDenied {
			t.Errorf("%s: %v", what, err)
		}
	}
	own := strings.Replace(string(file(closed)), "192.0.2.2}", "192.0.2.12}", 1)
	if _, err := ann.fabric().Apply(t.Context(), &ropewayv1.ApplyRequest{File: []byte(own), Base: 4, AtOnce: true}); err == nil || !strings.Contains(err.Error(), "RW7301") {
		t.Errorf("hers at once, over another's: %v", err)
	}
	if _, err := of(bob).PauseRollout(t.Context(), &ropewayv1.PauseRolloutRequest{}); err != nil {
		t.Error(err)
	}
}
