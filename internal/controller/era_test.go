package controller

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/authority"
	"ropeway/internal/courier"
	"ropeway/internal/member"
)

// An era changes what somebody says into what he would say if he were of another version.
type era struct {
	message func(protoreflect.Message)
	header  func(http.Header)
	knows   func(procedure string) bool
	novel   bool
}

const wordOfTomorrow = "a word of tomorrow"

// today is this version.
func today() era {
	return era{message: func(protoreflect.Message) {}, header: func(http.Header) {}, knows: func(string) bool { return true }}
}

// tomorrow says things that nobody knows yet, in every message and every message of that, and in its headers.
func tomorrow() era {
	var grow func(m protoreflect.Message)
	grow = func(m protoreflect.Message) {
		if m.Descriptor().ParentFile().Package() != "ropeway.v1" {
			return
		}
		novel := protowire.AppendVarint(protowire.AppendTag(m.GetUnknown(), 900, protowire.VarintType), 1<<60)
		novel = protowire.AppendString(protowire.AppendTag(novel, 901, protowire.BytesType), wordOfTomorrow)
		inner := protowire.AppendFixed64(protowire.AppendTag(nil, 7, protowire.Fixed64Type), 7)
		m.SetUnknown(protowire.AppendBytes(protowire.AppendTag(novel, 902, protowire.BytesType), inner))
		each(m, grow)
	}
	e := today()
	e.novel, e.message, e.header = true, grow, func(h http.Header) { h.Set("Ropeway-Tomorrow", "a header") }
	return e
}

// came is the number from which on fields came later, as a habit of the house.
const came = 20

// yesterday says nothing that came later, and knows no service that did.
func yesterday() era {
	var shrink func(m protoreflect.Message)
	shrink = func(m protoreflect.Message) {
		m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			if f.Number() >= came {
				m.Clear(f)
			}
			return true
		})
		each(m, shrink)
	}
	e := today()
	e.message = shrink
	e.knows = func(procedure string) bool {
		return strings.Contains(procedure, ".EnrollmentService/") || strings.Contains(procedure, ".GatewayService/")
	}
	return e
}

// each visits the messages in a message.
func each(m protoreflect.Message, visit func(protoreflect.Message)) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				visit(v.List().Get(i).Message())
			}
		default:
			visit(v.Message())
		}
		return true
	})
}

// A translator stands between a gateway and its controller, as that controller to the one and as that gateway to the other, and has each of them speak as
// in an era.
type translator struct {
	t                   *testing.T
	h                   *here
	state               string // of the gateway: its membership is how the translator is it
	gateway, controller era
	cut                 atomic.Bool // nobody hears what the gateway reports
	url                 string
	unknown             chan string // procedures that the controller did not know
}

func newTranslator(t *testing.T, h *here, state string, gateway, controller era) *translator {
	t.Helper()
	tr := &translator{t: t, h: h, state: state, gateway: gateway, controller: controller, unknown: make(chan string, 100)}
	config, err := h.opts.Authority.ServerTLS("translator", authority.Hosts{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}, time.Now)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	tr.url = "https://" + l.Addr().String()
	server := &http.Server{Handler: tr, TLSConfig: config, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.ServeTLS(l, "", "") })
	t.Cleanup(func() { _ = server.Close(); serving.Wait() })
	return tr
}

// client speaks with the controller as the gateway does, or as nobody while it is none.
func (tr *translator) client(r *http.Request) (*http.Client, error) {
	if len(r.TLS.PeerCertificates) == 0 {
		return (&somebody{h: tr.h}).http(tr.t, "h2"), nil
	}
	m, err := member.Load(courier.MemberFile(tr.state))
	if err != nil {
		return nil, err
	}
	return m.Stream(tr.h.url())
}

// ServeHTTP implements http.Handler for calls of the Connect protocol.
func (tr *translator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if tr.cut.Load() && r.URL.Path == ropewayv1connect.GatewayServiceReportProcedure {
		http.Error(w, "nobody is there", http.StatusBadGateway)
		return
	}
	if !tr.controller.knows(r.URL.Path) {
		tr.unknown <- r.URL.Path
		http.NotFound(w, r)
		return
	}
	if err := tr.pass(w, r); err != nil && r.Context().Err() == nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

func (tr *translator) pass(w http.ResponseWriter, r *http.Request) error {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(strings.Trim(r.URL.Path, "/"), "/", ".")))
	if err != nil {
		return err
	}
	method := found.(protoreflect.MethodDescriptor)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	in, err := translate(body, method.Input(), tr.gateway, method.IsStreamingServer())
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, tr.h.url()+r.URL.Path, bytes.NewReader(in))
	if err != nil {
		return err
	}
	req.Header = r.Header.Clone()
	for _, name := range []string{"Accept-Encoding", "Connect-Accept-Encoding", "Content-Length"} {
		req.Header.Del(name)
	}
	req.Header.Set("Accept-Encoding", "identity")
	tr.gateway.header(req.Header)
	client, err := tr.client(r)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	answer, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	for name, values := range answer.Header {
		if name != "Content-Length" {
			w.Header()[name] = values
		}
	}
	tr.controller.header(w.Header())
	if method.IsStreamingServer() {
		w.WriteHeader(answer.StatusCode)
		return tr.stream(w, answer.Body, method)
	}
	out, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode == http.StatusOK {
		out, err = translate(out, method.Output(), tr.controller, false)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(answer.StatusCode)
	_, err = w.Write(out)
	return err
}

// stream passes on one message after the other, as it comes.
func (tr *translator) stream(w http.ResponseWriter, from io.Reader, method protoreflect.MethodDescriptor) error {
	flush := http.NewResponseController(w)
	must(tr.t, flush.Flush())
	for {
		head := make([]byte, envelopeSize)
		if _, err := io.ReadFull(from, head); err != nil {
			return nil //nolint:nilerr // whoever ended it knows why
		}
		whole := append(head, make([]byte, binary.BigEndian.Uint32(head[1:]))...)
		if _, err := io.ReadFull(from, whole[envelopeSize:]); err != nil {
			return nil //nolint:nilerr // as above
		}
		if head[0]&endOfStream == 0 {
			var err error
			if whole, err = translate(whole, method.Output(), tr.controller, true); err != nil {
				tr.t.Error(err)
				return nil
			}
		}
		if _, err := w.Write(whole); err != nil {
			return nil //nolint:nilerr // as above
		}
		_ = flush.Flush()
	}
}

// translate has a message said as in an era: one in an envelope, or bare.
func translate(data []byte, of protoreflect.MessageDescriptor, as era, enveloped bool) ([]byte, error) {
	if enveloped {
		if len(data) < envelopeSize || data[0] != 0 {
			return nil, errors.New("it is no message in an envelope, or a compressed one")
		}
		data = data[envelopeSize:]
	}
	kind, err := protoregistry.GlobalTypes.FindMessageByName(of.FullName())
	if err != nil {
		return nil, err
	}
	m := kind.New()
	if err := proto.Unmarshal(data, m.Interface()); err != nil {
		return nil, err
	}
	as.message(m)
	out, err := proto.Marshal(m.Interface())
	if err == nil && enveloped {
		out = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(out))), out...)
	}
	return out, err
}
