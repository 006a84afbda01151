package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"ropeway/internal/lab/drill"
)

// TestADrillSurvivesWhatTheProverSays loses a gateway, the only link of a kind, and a region of a fabric that speaks BGP with routers that nobody here wrote.
func TestADrillSurvivesWhatTheProverSays(t *testing.T) {
	t.Parallel()
	name, chart := labName("drill"), filepath.Join(t.TempDir(), "drill.svg")
	up(t, "../examples/hybrid-bgp.yaml", name)
	for _, c := range []struct {
		args []string
		lost bool // some pair
	}{
		{[]string{"gateway-loss", "hq-1"}, false},
		{[]string{"link-loss", "hq-1,branch-1"}, false},
		{[]string{"region-loss", "branch"}, true},
	} {
		var r drill.Report
		out := must(t, 0, append([]string{"drill", "--lab", name, "-o", "json", "--svg", chart}, c.args...)...)
		if err := json.Unmarshal([]byte(out.out), &r); err != nil {
			t.Fatalf("%v: %v: %s", c.args, err, out.out)
		}
		if !r.OK || len(r.Runs) != 1 || len(r.Pairs) != 12 || (r.Lost > 0) != c.lost {
			t.Errorf("%v: %+v", c.args, r)
		}
		if picture, err := os.ReadFile(chart); err != nil || !bytes.HasPrefix(picture, []byte("<svg ")) {
			t.Errorf("%v: the chart is %.20q, %v", c.args, picture, err)
		}
	}
	tested(t, 0, name) // all is well again
}
