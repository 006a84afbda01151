package controller

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
)

// What the Connect protocol says of a stream (https://connectrpc.com/docs/protocol#streaming-rpcs): every message is in an envelope of a byte of
// flags and four bytes of length, and the last one, by its flag, is JSON that says how it ended.
const (
	streamType    = "application/connect+proto"
	envelopeSize  = 5
	endOfStream   = 2 // a flag
	mostWatchBody = 1 << 10
)

// lineHead begins the answer to a Watch. What follows are chunks of HTTP/1.1 (RFC 9112, section 7.1), one for each message.
const lineHead = "HTTP/1.1 200 OK\r\nContent-Type: " + streamType + "\r\nTransfer-Encoding: chunked\r\n\r\n"

// takeover answers a Watch by making a line of its connection, where the gateway asks in the way that this can be done: with the Connect protocol
// over HTTP/1.1, whose connections serve one request at a time. All else goes the usual way, and costs more memory: gRPC and HTTP/2, what is no
// such request, and one that holds more than the fabric has handed out.
func (c *Controller) takeover(usual http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 || r.Method != http.MethodPost || r.URL.Path != ropewayv1connect.GatewayServiceWatchProcedure ||
			r.Header.Get("Content-Type") != streamType || r.Header.Get("Connect-Content-Encoding") != "" {
			usual.ServeHTTP(w, r)
			return
		}
		begun, err := io.ReadAll(io.LimitReader(r.Body, mostWatchBody+1))
		req := watchRequest(begun)
		ahead := true
		if err == nil && req != nil {
			ahead, err = c.ahead(r.Context(), req.Epoch)
		}
		if err != nil || ahead {
			r.Body = again(begun, r.Body)
			usual.ServeHTTP(w, r)
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			c.log.Error("a connection cannot be taken over", "error", err)
			return
		}
		if buffered.Reader.Buffered() > 0 { // it asks on before it was answered
			_ = conn.Close()
			return
		}
		who := callerOf(r.Context())
		if err := c.lines.add(conn, who, c.heldBy(who.Name, req), req); err != nil {
			c.log.Debug("a line was not taken", "gateway", who.Name, "error", err)
		}
	})
}

// again returns a body of which the beginning has been read.
func again(begun []byte, rest io.ReadCloser) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(begun), rest), rest}
}

// watchRequest reads a request that is one message, uncompressed and small; nil where it is not.
func watchRequest(body []byte) *ropewayv1.WatchRequest {
	req := &ropewayv1.WatchRequest{}
	if len(body) > mostWatchBody || len(body) < envelopeSize || body[0] != 0 ||
		uint64(binary.BigEndian.Uint32(body[1:])) != uint64(len(body)-envelopeSize) || proto.Unmarshal(body[envelopeSize:], req) != nil || req.Held != nil {
		return nil
	}
	return req
}

// watchMessage encodes a WatchResponse as it goes over a line, in one copy: grants are large.
func watchMessage(message *ropewayv1.WatchResponse) []byte {
	return chunk(0, proto.Size(message), func(b []byte) []byte {
		out, err := proto.MarshalOptions{}.MarshalAppend(b, message)
		if err != nil { // only text that is not UTF-8 does not encode, and there is none in it
			return b
		}
		return out
	})
}

// lastMessage says why a line ends, and ends it.
func lastMessage(why *connect.Error) []byte {
	type wireError struct {
		Code    string `json:"code"`
		Message string `json:"message,omitempty"`
	}
	text, err := json.Marshal(map[string]wireError{"error": {why.Code().String(), why.Message()}})
	if err != nil { // plain text always encodes
		text = []byte("{}")
	}
	return append(chunk(endOfStream, len(text), func(b []byte) []byte { return append(b, text...) }), "0\r\n\r\n"...)
}

// chunk writes an envelope of size bytes, which fill appends.
func chunk(flags byte, size int, fill func([]byte) []byte) []byte {
	b := make([]byte, 0, size+envelopeSize+16) // 16: the length in hexadecimal digits, and two line ends
	b = append(strconv.AppendUint(b, uint64(size+envelopeSize), 16), '\r', '\n')
	b = binary.BigEndian.AppendUint32(append(b, flags), uint32(size))
	if fill != nil {
		b = fill(b)
	}
	return append(b, '\r', '\n')
}
