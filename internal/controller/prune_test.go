package controller

import (
	"strings"
	"testing"

	"connectrpc.com/connect"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/store"
)

// Whoever asks for a revision that was old and is gone hears that, and not that there never was one; the fabric is what it was.
func TestPruned(t *testing.T) {
	h := serveHere(t)
	ann := h.somebody("operator/ann").fabric()
	number := uint64(0)
	for i := range 5 {
		number = h.apply(number, file([]string{open, closed}[i%2]))
	}
	h.prune(t.Context(), store.Keep{Least: 2})
	list, err := ann.ListRevisions(t.Context(), &ropewayv1.ListRevisionsRequest{})
	if err != nil || len(list.Revisions) != 2 || list.Pruned != 3 {
		t.Errorf("listed are %v, %v", list, err)
	}
	gone := func(what string, err error) {
		t.Helper()
		if connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "RW7508") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = ann.GetRevision(t.Context(), &ropewayv1.GetRevisionRequest{Number: 3})
	gone("its file", err)
	_, err = ann.Preview(t.Context(), &ropewayv1.PreviewRequest{Rollback: 1})
	gone("what going back would change", err)
	_, err = ann.Apply(t.Context(), &ropewayv1.ApplyRequest{Rollback: 1, Base: number})
	gone("going back", err)
	if _, err := ann.GetRevision(t.Context(), &ropewayv1.GetRevisionRequest{Number: 99}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("one that never was: %v", err)
	}
	if newest, err := ann.GetRevision(t.Context(), &ropewayv1.GetRevisionRequest{}); err != nil || newest.Revision.Number != number {
		t.Errorf("the newest: %v, %v", newest, err)
	}
	if next := h.apply(number, file(closed)); next != number+1 {
		t.Errorf("the next one is %d", next)
	}
}
