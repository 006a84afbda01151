//go:build race

package agent_test

// buildFlags let the program under test look for races where the tests do.
var buildFlags = []string{"-race"}

// manyPeers is fewer than without: the detector makes everything ten times slower.
const manyPeers = 50
