//go:build !race

package agent_test

var buildFlags []string

const manyPeers = 1000
