package plan

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
)

// A Document is the plan of one gateway as it travels: a file, later a signed message.
type Document struct {
	APIVersion string  `json:"apiVersion"`       // Version
	Kind       string  `json:"kind"`             // "GatewayPlan"
	Format     uint32  `json:"format,omitempty"` // FormatOf Gateway; absent: 1
	Fabric     string  `json:"fabric"`
	Revision   string  `json:"revision"` // Revision of Gateway: hex of the first 16 bytes of a SHA-256
	Gateway    Gateway `json:"gateway"`
}

const documentKind = "GatewayPlan"

// Encode returns the document of one gateway as indented JSON with a final newline.
func Encode(fabric string, g *Gateway) ([]byte, error) {
	doc := Document{APIVersion: Version, Kind: documentKind, Fabric: fabric, Revision: Revision(g), Gateway: *g}
	if f := FormatOf(g); f > 1 {
		doc.Format = f
	}
	out, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the plan of gateway %s: %w", g.Name, err)
	}
	return append(out, '\n'), nil
}

// Decode reads what Encode wrote. It refuses unknown fields, another version or kind, a revision that does not match the
// content, and whatever Validate refuses: a plan is input like any other. What is of a later format is ErrNewer, whatever else is wrong with it.
func Decode(data []byte) (*Document, error) {
	doc, err := decode(data)
	if err != nil {
		return nil, cmp.Or(newer(data), err)
	}
	return doc, nil
}

func decode(data []byte) (*Document, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var doc Document
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	if dec.More() {
		return nil, fmt.Errorf("read the plan: text after its end")
	}
	if doc.Format > Format {
		return nil, fmt.Errorf("read the plan: %w", ErrNewer)
	}
	if doc.APIVersion != Version || doc.Kind != documentKind {
		return nil, fmt.Errorf("read the plan: want apiVersion %s and kind %s", Version, documentKind)
	}
	if err := doc.Gateway.Validate(); err != nil {
		return nil, fmt.Errorf("the plan is not valid: %w", err)
	}
	if got := Revision(&doc.Gateway); got != doc.Revision {
		return nil, fmt.Errorf("the plan's content does not match its revision %.40q: it was changed or cut after it was made", doc.Revision)
	}
	return &doc, nil
}
