package grant

import (
	"google.golang.org/protobuf/encoding/protowire"

	ropewayv1 "ropeway/api/ropeway/v1"
)

// encode writes a grant in the one way that is signed: its fields by number, each once, none that is empty, in the shortest form. Package
// proto writes the same today, but does not promise it: "deterministic" is not canonical across versions
// (https://protobuf.dev/programming-guides/serialization-not-canonical/), and a gateway must open what a newer controller signed.
func encode(g *ropewayv1.Grant) []byte {
	b := make([]byte, 0, len(g.GetPlan())+len(g.GetFabric())+len(g.GetGateway())+32) // 32: four tags, three lengths, an epoch
	b = appendBytes(b, 1, []byte(g.GetFabric()))
	b = appendBytes(b, 2, []byte(g.GetGateway()))
	if g.GetEpoch() != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), g.GetEpoch())
	}
	return appendBytes(b, 4, g.GetPlan())
}

func appendBytes(b []byte, number protowire.Number, value []byte) []byte {
	if len(value) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), value)
}
