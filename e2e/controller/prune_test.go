package controller_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"ropeway/internal/store"
)

// TestOldRevisionsAreGone: history, show and diff say of a revision that was old that it is gone, and what can still be known of it.
func TestOldRevisionsAreGone(t *testing.T) {
	w := newWorld(t)
	w.serve()
	w.do("login", server, "--token", w.firstToken())
	for port := range 5 {
		w.do("apply", w.shop(fmt.Sprintf("{from: region/east, to: region/west, ports: [tcp/%d]}", 443+port)), "--auto-approve", "--no-wait")
	}
	w.controller.kill()
	s, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(w.path("data"), "store"), Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	if last, err := s.Prune(t.Context(), store.Keep{Least: 2}); err != nil || last != 3 {
		t.Fatalf("up to %d, %v", last, err)
	}
	must(t, s.Close())
	w.serve()
	w.says(0, args("history"), "Revisions up to 3 were old, and are gone", "nobody can say", "2 gateways changed")
	w.says(0, args("history", "-o", "json"), `"nobody can say`)
	w.says(1, args("show", "2"), "RW7508", "ropeway audit list")
	w.says(1, args("diff", "2", "5"), "RW7508")
	w.says(1, args("show", "4", "--plan"), "RW7508", "those up to revision 3")
	w.says(1, args("rollback", "3", "--auto-approve"), "RW7508")
	w.says(0, args("show", "4"), "tcp/446")
	w.says(2, args("diff", "4", "5"), "+++ revision-5.yaml")
	w.says(0, args("rollback", "4", "--auto-approve", "--no-wait"), "Revision 6")
	w.says(0, args("audit", "list", "--revision", "2"), "fabric.apply")
	w.says(0, args("audit", "list", "--what", "fabric.prune"), "revisions up to 3")
}
