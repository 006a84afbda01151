package grant

import (
	"google.golang.org/protobuf/encoding/protowire"

	ropewayv1 "ropeway/api/ropeway/v1"
)

// encode writes a grant in the one way that is signed: its fields by number, each once, none that is empty, in the shortest form. Package
// proto writes the same today, but does not promise it: "deterministic" is not canonical across versions
// (https://protobuf.dev/programming-guides/serialization-not-canonical/), and a gateway must open what a newer controller signed.
func encode(g *ropewayv1.Grant) []byte {
	b := make([]byte, 0, len(g.GetPlan())+len(g.GetFabric())+len(g.GetGateway())+48) // 48: five tags, three lengths, an epoch, a time
	b = appendBytes(b, 1, []byte(g.GetFabric()))
	b = appendBytes(b, 2, []byte(g.GetGateway()))
	b = appendNumber(b, 3, g.GetEpoch())
	b = appendBytes(b, 4, g.GetPlan())
	return appendNumber(b, 5, g.GetUntil())
}

func appendNumber(b []byte, number protowire.Number, value uint64) []byte {
	if value == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), value)
}

func appendBytes(b []byte, number protowire.Number, value []byte) []byte {
	if len(value) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), value)
}
