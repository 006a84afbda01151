package compile

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"ropeway/internal/intent"
	"ropeway/internal/plan"
	"ropeway/internal/state"
)

var update = flag.Bool("update", false, "write the plans that the stories end in")

// TestStories reads testdata/*.txtar: fabric files, each compiled with the lock that the one before it left, and after each file
// NAME.yaml the difference that it makes, NAME.plan.
func TestStories(t *testing.T) {
	stories, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, story := range stories {
		t.Run(strings.TrimSuffix(filepath.Base(story), ".txtar"), func(t *testing.T) { tell(t, story) })
	}
}

func tell(t *testing.T, story string) {
	archive, err := txtar.ParseFile(story)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, f := range archive.Files {
		want[f.Name] = string(f.Data)
	}
	out := &txtar.Archive{Comment: archive.Comment}
	var last *plan.Fabric
	var lock *state.Lock
	for _, f := range archive.Files {
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
		got := plan.Compare(last, next).Text()
		last = next
		if diff := cmp.Diff(want[name+".plan"], got); diff != "" && !*update {
			t.Errorf("%s: plan (-want +got):\n%s", f.Name, diff)
		}
		out.Files = append(out.Files, f, txtar.File{Name: name + ".plan", Data: []byte(got)})
	}
	if *update {
		if err := os.WriteFile(story, txtar.Format(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
