package compile

import (
	"flag"
	"strings"
	"testing"

	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/state"
	"ropeway/internal/stories"
)

var update = flag.Bool("update", false, "write the plans that the stories end in")

// TestStories reads testdata/*.txtar: fabric files, each compiled with the lock that the one before it left, and after each file
// NAME.yaml the difference that it makes, NAME.plan.
func TestStories(t *testing.T) {
	stories.Each(t, "testdata/*.txtar", *update, func(t *testing.T, story *stories.Story) {
		var last *plan.Fabric
		var lock *state.Lock
		for _, f := range story.Files {
			name, isFabric := strings.CutSuffix(f.Name, ".yaml")
			if !isFabric {
				continue
			}
			in, problems := intent.Read(f.Name, f.Data)
			if problems.Failed() {
				t.Fatal(problems)
			}
			var next *plan.Fabric
			next, lock = Compile(in, lock)
			story.Want(t, name+".plan", plan.Compare(last, next).Text())
			last = next
		}
	})
}
