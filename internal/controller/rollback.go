package controller

import (
	"context"
	"errors"
	"fmt"

	"ropeway/internal/store"
)

// A wish is what somebody wants the fabric to be: a file, or that of a revision.
type wish struct {
	name     string // of the file, for messages
	file     []byte
	rollback uint64 // the revision; 0: none
	renew    bool   // the newest one
}

// wanted returns the file that somebody wants the fabric to be, and what messages call it. Who is bound to places may not see a revision, which is
// everybody's.
func (d *desk) wanted(ctx context.Context, w wish, places []string) (string, []byte, error) {
	if w.renew {
		newest, err := d.store.NewestNumber(ctx)
		if err != nil {
			return "", nil, err
		}
		if w.rollback = newest; newest == 0 {
			return "", nil, refusal("RW7503", "fabric", "it has no revision yet", "ropeway apply FILE makes the first one")
		}
	}
	if w.rollback == 0 {
		return fileName(w.name), w.file, nil
	}
	if len(places) > 0 {
		return "", nil, notYours([]string{fmt.Sprintf("revision %d as a whole", w.rollback)})
	}
	r, err := d.store.Revision(ctx, w.rollback)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil, refusal("RW7503", fmt.Sprintf("revision %d", w.rollback), "there is no such revision", "ropeway history lists those that there are")
	}
	if err != nil {
		return "", nil, err
	}
	return revisionName(w.rollback), r.File, nil
}
