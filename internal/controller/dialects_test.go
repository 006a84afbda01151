package controller

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"ropeway/api/ropeway/v1/ropewayv1connect"
)

// A gatewayDialect watches as a gateway does that holds nothing: the Connect protocol over HTTP/1.1.
type gatewayDialect struct {
	name  string // the gateway's
	begun bool   // the head of the answer is there
}

func (d *gatewayDialect) open(out io.Writer) error {
	_, err := fmt.Fprintf(out, "POST %s HTTP/1.1\r\nHost: controller\r\nContent-Type: %s\r\nConnect-Protocol-Version: 1\r\nContent-Length: %d\r\n\r\n%s",
		ropewayv1connect.GatewayServiceWatchProcedure, streamType, envelopeSize, make([]byte, envelopeSize))
	return err
}

// hear takes the head of the answer, then chunks, each of which is one message in its envelope.
func (d *gatewayDialect) hear(came []byte) (length int, revision uint64, err error) {
	if !d.begun {
		head, _, all := bytes.Cut(came, []byte("\r\n\r\n"))
		if !all {
			return 0, 0, nil
		}
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
			return 0, 0, fmt.Errorf("the controller answered %q", head)
		}
		d.begun = true
		return len(head) + 4, 0, nil
	}
	digits, _, all := bytes.Cut(came, []byte("\r\n"))
	if !all {
		return 0, 0, nil
	}
	size, err := strconv.ParseUint(string(digits), 16, 31)
	begin, end := len(digits)+2, len(digits)+2+int(size)
	if err != nil || len(came) < end+2 {
		return 0, 0, err
	}
	message, err := enveloped(came[begin:end])
	if err == nil && len(message) != int(size)-envelopeSize {
		err = fmt.Errorf("a chunk of %d bytes is no message", size)
	}
	if err == nil && len(message) > 0 { // else it is a heartbeat
		revision, err = d.grant(message)
	}
	return end + 2, revision, err
}

// grant returns the epoch of the grant in a WatchResponse.
func (d *gatewayDialect) grant(message []byte) (uint64, error) {
	signed, err := field(message, 1)
	grant, err2 := field(signed.bytes, 1)
	name, err3 := field(grant.bytes, 2)
	epoch, err4 := field(grant.bytes, 3)
	plan, err5 := field(grant.bytes, 4)
	if err := errors.Join(err, err2, err3, err4, err5); err != nil {
		return 0, err
	}
	if string(name.bytes) != d.name || epoch.number == 0 || len(plan.bytes) == 0 {
		return 0, fmt.Errorf("%s was sent the grant of %q of epoch %d, with a plan of %d bytes", d.name, name.bytes, epoch.number, len(plan.bytes))
	}
	return epoch.number, nil
}

// An etcdDialect watches the one key: gRPC over HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, RFC 9113).
type etcdDialect struct {
	size    int // of the value
	frames  *http2.Framer
	message []byte // what is there of it
}

// open opens one stream on which a watch is created. The windows are as wide as they can be: etcd never waits for leave to send.
func (d *etcdDialect) open(out io.Writer) error {
	const stream, widest, usual = 1, 1<<31 - 1, 1<<16 - 1
	request, err := proto.Marshal(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte(etcdKey)}}})
	if err != nil {
		return err
	}
	var head, all bytes.Buffer
	encoder := hpack.NewEncoder(&head)
	for _, h := range [][2]string{
		{":method", "POST"}, {":scheme", "https"}, {":path", "/etcdserverpb.Watch/Watch"}, {":authority", "etcd"}, {"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		err = errors.Join(err, encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}))
	}
	all.WriteString(http2.ClientPreface)
	frames := http2.NewFramer(&all, nil)
	err = errors.Join(err,
		frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: widest}, http2.Setting{ID: http2.SettingEnablePush, Val: 0}),
		frames.WriteWindowUpdate(0, widest-usual),
		frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndHeaders: true}),
		frames.WriteData(stream, false, append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(request))), request...)))
	if err != nil {
		return err
	}
	d.frames = http2.NewFramer(out, nil)
	_, err = out.Write(all.Bytes())
	return err
}

// hear takes one frame.
func (d *etcdDialect) hear(came []byte) (length int, revision uint64, err error) {
	const head = 9
	if len(came) < head {
		return 0, 0, nil
	}
	length = head + int(came[0])<<16 + int(came[1])<<8 + int(came[2])
	if len(came) < length {
		return 0, 0, nil
	}
	kind, flags, payload := http2.FrameType(came[3]), http2.Flags(came[4]), came[head:length]
	const ack, endOrPadded = http2.FlagSettingsAck, http2.FlagDataEndStream | http2.FlagDataPadded // the same for all frames that have them
	switch {
	case kind == http2.FrameSettings && !flags.Has(ack):
		err = d.frames.WriteSettingsAck()
	case kind == http2.FramePing && !flags.Has(ack):
		err = d.frames.WritePing(true, [8]byte(payload))
	case kind == http2.FrameHeaders && flags&endOrPadded == 0: // the head of the answer; one that refuses ends the stream
	case kind == http2.FrameData && flags&endOrPadded == 0:
		d.message = append(d.message, payload...)
		revision, err = d.event()
	case kind != http2.FrameSettings && kind != http2.FramePing && kind != http2.FrameWindowUpdate:
		err = fmt.Errorf("etcd sent %s, flags %x: %q", kind, flags, payload)
	}
	return length, revision, err
}

// event returns the revision of the one event in a WatchResponse, or of the store when the watch was created; 0 while it is not all there.
func (d *etcdDialect) event() (uint64, error) {
	message, err := enveloped(d.message)
	if err != nil || message == nil {
		return 0, err
	}
	if len(message) != len(d.message)-envelopeSize {
		return 0, errors.New("etcd sent more than one message at once")
	}
	d.message = d.message[:0]
	if created, err := field(message, 3); err != nil || created.number == 1 {
		header, err2 := field(message, 1)
		revision, err3 := field(header.bytes, 3)
		return revision.number, errors.Join(err, err2, err3)
	}
	event, err := field(message, 11)
	pair, err2 := field(event.bytes, 2)
	revision, err3 := field(pair.bytes, 3)
	value, err4 := field(pair.bytes, 5)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return 0, err
	}
	if revision.number == 0 || len(value.bytes) != d.size {
		return 0, fmt.Errorf("etcd sent a value of %d bytes of revision %d, want %d bytes", len(value.bytes), revision.number, d.size)
	}
	return revision.number, nil
}

// enveloped returns the first message of a stream, which both protocols put into the same kind of envelope; nil while it is not all there.
func enveloped(came []byte) ([]byte, error) {
	if len(came) < envelopeSize {
		return nil, nil
	}
	if came[0] != 0 {
		return nil, fmt.Errorf("the stream ends, or has a compressed message: %q", came)
	}
	end := envelopeSize + int(binary.BigEndian.Uint32(came[1:]))
	if len(came) < end {
		return nil, nil
	}
	return came[envelopeSize:end], nil
}

// A value is that of one field.
type value struct {
	number uint64
	bytes  []byte
}

// field finds one field of an encoded message without a copy of the others, which may be long; zero where it is absent.
func field(message []byte, want protowire.Number) (v value, err error) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return v, protowire.ParseError(n)
		}
		message = message[n:]
		size := protowire.ConsumeFieldValue(number, kind, message)
		if size < 0 {
			return v, protowire.ParseError(size)
		}
		switch {
		case number == want && kind == protowire.VarintType:
			v.number, _ = protowire.ConsumeVarint(message)
		case number == want && kind == protowire.BytesType:
			v.bytes, _ = protowire.ConsumeBytes(message)
		}
		message = message[size:]
	}
	return v, nil
}
