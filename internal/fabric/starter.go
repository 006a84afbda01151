package fabric

import (
	_ "embed"
	"slices"
)

//go:embed starter.yaml
var starter []byte

// Starter returns a fabric file to start from: commented, valid, and its tests hold.
func Starter() []byte { return slices.Clone(starter) }
