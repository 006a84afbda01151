package ropewayv1_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	ropewayv1 "ropeway/api/ropeway/v1"
)

var renew = flag.Bool("renew", false, "take the API as it is for the one that was released last")

// released is the API as the last release has it: a FileDescriptorSet in JSON. Programs of that release speak with those of the next one.
const released = "testdata/released.json"

// What a program of the last release says is understood, and means the same. -renew, at a release, only ever adds to what was promised.
func TestTheReleasedAPI(t *testing.T) {
	text, err := os.ReadFile(released)
	if err != nil {
		t.Fatal(err)
	}
	then := &descriptorpb.FileDescriptorSet{}
	if err := protojson.Unmarshal(text, then); err != nil {
		t.Fatal(err)
	}
	if len(then.File) == 0 && !*renew {
		t.Fatalf("%s promises nothing", released)
	}
	now := registered()
	broken := breaks(files(t, then), files(t, now))
	for _, b := range broken {
		t.Error(b)
	}
	if len(broken) > 0 || !*renew {
		return
	}
	if err := os.WriteFile(released, encoded(t, now), 0o600); err != nil {
		t.Fatal(err)
	}
}

// registered is the API of this build.
func registered() *descriptorpb.FileDescriptorSet {
	set := &descriptorpb.FileDescriptorSet{}
	protoregistry.GlobalFiles.RangeFilesByPackage(ropewayv1.File_ropeway_v1_gateway_proto.Package(), func(f protoreflect.FileDescriptor) bool {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
		return true
	})
	slices.SortFunc(set.File, func(a, b *descriptorpb.FileDescriptorProto) int { return strings.Compare(a.GetName(), b.GetName()) })
	return set
}

// encoded is a set as lines that can be reviewed. protojson varies its blanks on purpose.
func encoded(t *testing.T, set *descriptorpb.FileDescriptorSet) []byte {
	t.Helper()
	text, err := protojson.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", " "); err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes(), '\n')
}

func files(t *testing.T, set *descriptorpb.FileDescriptorSet) *protoregistry.Files {
	t.Helper()
	out, err := protodesc.FileOptions{AllowUnresolvable: true}.NewFiles(set) // Google's own are not in the set
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// breaks says what somebody who knows an API as it was would no longer understand of it as it is, or be misunderstood by.
func breaks(then, now *protoregistry.Files) (out []string) {
	then.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		out = append(out, inMessages(f.Messages(), now)...)
		out = append(out, inEnums(f.Enums(), now)...)
		for i := range f.Services().Len() {
			out = append(out, inService(f.Services().Get(i), now)...)
		}
		return true
	})
	slices.Sort(out)
	return out
}

func inMessages(list protoreflect.MessageDescriptors, now *protoregistry.Files) (out []string) {
	for i := range list.Len() {
		was := list.Get(i)
		is, _ := find[protoreflect.MessageDescriptor](now, was.FullName())
		if is == nil {
			out = append(out, fmt.Sprintf("message %s is gone", was.FullName()))
			continue
		}
		for j := range was.Fields().Len() {
			f := was.Fields().Get(j)
			if a, b := meaning(f), meaning(is.Fields().ByNumber(f.Number())); a != b {
				out = append(out, fmt.Sprintf("field %d of %s was %s, and is %s", f.Number(), was.FullName(), a, b))
			}
		}
		out = append(out, inMessages(was.Messages(), now)...)
		out = append(out, inEnums(was.Enums(), now)...)
	}
	return out
}

// meaning is all of a field that those who speak with each other have to agree about.
func meaning(f protoreflect.FieldDescriptor) string {
	if f == nil {
		return "nothing"
	}
	text := fmt.Sprintf("%s %s %s (JSON %s", f.Cardinality(), f.Kind(), f.Name(), f.JSONName())
	if f.Message() != nil {
		text += fmt.Sprintf(", message %s", f.Message().FullName())
	}
	if f.Enum() != nil {
		text += fmt.Sprintf(", enum %s", f.Enum().FullName())
	}
	if one := f.ContainingOneof(); one != nil {
		text += fmt.Sprintf(", one of %s", one.Name())
	}
	return text + fmt.Sprintf(", presence %t, packed %t)", f.HasPresence(), f.IsPacked())
}

func inEnums(list protoreflect.EnumDescriptors, now *protoregistry.Files) (out []string) {
	for i := range list.Len() {
		was := list.Get(i)
		is, _ := find[protoreflect.EnumDescriptor](now, was.FullName())
		if is == nil {
			out = append(out, fmt.Sprintf("enum %s is gone", was.FullName()))
			continue
		}
		for j := range was.Values().Len() {
			v := was.Values().Get(j)
			if x := is.Values().ByNumber(v.Number()); x == nil || x.Name() != v.Name() {
				out = append(out, fmt.Sprintf("value %d of %s was %s, and is not", v.Number(), was.FullName(), v.Name()))
			}
		}
	}
	return out
}

func inService(was protoreflect.ServiceDescriptor, now *protoregistry.Files) (out []string) {
	for i := range was.Methods().Len() {
		m := was.Methods().Get(i)
		is, _ := find[protoreflect.MethodDescriptor](now, m.FullName())
		if a, b := signature(m), signature(is); a != b {
			out = append(out, fmt.Sprintf("RPC %s was %s, and is %s", m.FullName(), a, b))
		}
	}
	return out
}

func signature(m protoreflect.MethodDescriptor) string {
	if m == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s → %s (streams: %t, %t)", m.Input().FullName(), m.Output().FullName(), m.IsStreamingClient(), m.IsStreamingServer())
}

func find[D protoreflect.Descriptor](in *protoregistry.Files, name protoreflect.FullName) (d D, ok bool) {
	found, err := in.FindDescriptorByName(name)
	if err == nil {
		d, ok = found.(D)
	}
	return d, ok
}

// The comparison sees every change that somebody would stumble over, and none that nobody does.
func TestWhatBreaks(t *testing.T) {
	file := func(set *descriptorpb.FileDescriptorSet, name string) *descriptorpb.FileDescriptorProto {
		for _, f := range set.File {
			if strings.HasSuffix(f.GetName(), name) {
				return f
			}
		}
		t.Fatalf("there is no %s", name)
		return nil
	}
	report := func(set *descriptorpb.FileDescriptorSet) *descriptorpb.DescriptorProto {
		for _, m := range file(set, "gateway.proto").MessageType {
			if m.GetName() == "ReportRequest" {
				return m
			}
		}
		t.Fatal("nobody reports")
		return nil
	}
	watch := func(set *descriptorpb.FileDescriptorSet) *descriptorpb.ServiceDescriptorProto {
		return file(set, "gateway.proto").Service[0]
	}
	for _, x := range []struct {
		what   string
		change func(set *descriptorpb.FileDescriptorSet)
		want   string // in the one thing that is said; "": nothing is
	}{
		{"nothing", func(*descriptorpb.FileDescriptorSet) {}, ""},
		{"a new field", func(set *descriptorpb.FileDescriptorSet) {
			f := proto.CloneOf(report(set).Field[0])
			f.Name, f.JsonName, f.Number = proto.String("novel"), proto.String("novel"), proto.Int32(999)
			report(set).Field = append(report(set).Field, f)
		}, ""},
		{"a new RPC", func(set *descriptorpb.FileDescriptorSet) {
			m := proto.CloneOf(watch(set).Method[0])
			m.Name = proto.String("Novel")
			watch(set).Method = append(watch(set).Method, m)
		}, ""},
		{"a field that is gone", func(set *descriptorpb.FileDescriptorSet) { report(set).Field = report(set).Field[1:] }, "field 1 of ropeway.v1.ReportRequest was"},
		{"a number", func(set *descriptorpb.FileDescriptorSet) { report(set).Field[0].Number = proto.Int32(999) }, "field 1 of ropeway.v1.ReportRequest was"},
		{"a name", func(set *descriptorpb.FileDescriptorSet) { report(set).Field[0].Name = proto.String("held_epoch") }, "held_epoch"},
		{"a type", func(set *descriptorpb.FileDescriptorSet) {
			report(set).Field[0].Type = descriptorpb.FieldDescriptorProto_TYPE_SINT64.Enum()
		}, "sint64"},
		{"a cardinality", func(set *descriptorpb.FileDescriptorSet) {
			report(set).Field[3].Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		}, "repeated"},
		{"another message", func(set *descriptorpb.FileDescriptorSet) {
			report(set).Field[4].TypeName = proto.String(".ropeway.v1.Drift")
		}, "ropeway.v1.Drift"},
		{"a message that is gone", func(set *descriptorpb.FileDescriptorSet) {
			f := file(set, "audit.proto")
			f.Service, f.MessageType = nil, slices.DeleteFunc(f.MessageType, func(m *descriptorpb.DescriptorProto) bool { return m.GetName() == "TrimLogRequest" })
		}, "message ropeway.v1.TrimLogRequest is gone"},
		{"an RPC that is gone", func(set *descriptorpb.FileDescriptorSet) { watch(set).Method = watch(set).Method[1:] }, "RPC ropeway.v1.GatewayService.Watch was"},
		{"an RPC that streams no more", func(set *descriptorpb.FileDescriptorSet) { watch(set).Method[0].ServerStreaming = proto.Bool(false) }, "streams: false, false"},
	} {
		then, now := registered(), registered()
		x.change(now)
		said := breaks(files(t, then), files(t, now))
		if x.want == "" && len(said) > 0 || x.want != "" && (len(said) == 0 || !strings.Contains(strings.Join(said, "\n"), x.want)) {
			t.Errorf("%s: %q", x.what, said)
		}
	}
}
