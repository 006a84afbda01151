package controller

import (
	"context"
	"errors"
	"fmt"

	"ropeway/internal/store"
)

// wanted returns the file that somebody wants the fabric to be, and what messages call it: the one that he sent, or that of a revision. Who is bound to
// places may not see a revision, which is everybody's.
func (d *desk) wanted(ctx context.Context, name string, file []byte, rollback uint64, places []string) (string, []byte, error) {
	if rollback == 0 {
		return fileName(name), file, nil
	}
	if len(places) > 0 {
		return "", nil, notYours([]string{fmt.Sprintf("revision %d as a whole", rollback)})
	}
	r, err := d.store.Revision(ctx, rollback)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil, refusal("RW7503", fmt.Sprintf("revision %d", rollback), "there is no such revision", "ropeway history lists those that there are")
	}
	if err != nil {
		return "", nil, err
	}
	return revisionName(rollback), r.File, nil
}
