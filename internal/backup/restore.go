package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"

	"ropeway/internal/authority"
	"ropeway/internal/diag"
	"ropeway/internal/files"
	"ropeway/internal/store"
)

// Places in the data directory of a controller.
const (
	authorityDir = "authority"
	storeDir     = "store"
	workDir      = "restoring"
)

// leap is how far past those of the backup a restored fabric numbers its revisions, at least, and by how much more at most. It is more than are
// made between two backups, and not the same twice, for whoever restores the same backup again: epochs that gateways got of the first attempt
// are not to come back with other plans.
const leap = 1_000_000

// A Target says where a backup is restored to.
type Target struct {
	Dir    string // a controller's data directory, without an authority and a store
	Fabric string // what it has to be of
	Log    *slog.Logger
}

// A Result says what was restored.
type Result struct {
	About
	Last, First uint64 // the newest revision in the backup, 0 for none, and the one that the restored fabric begins with
}

// ErrOccupied is returned where there is something already in the place of what is restored.
var ErrOccupied = errors.New("there is a controller's data already")

// Restore makes the data directory of a controller out of a backup: the same fabric, authority, members and tokens. It is made beside its place
// and moved there when all of it is on disk, so what is refused leaves nothing.
func Restore(ctx context.Context, from io.Reader, keys []age.Identity, to Target) (Result, error) {
	r, err := Open(from, keys)
	if err != nil {
		return Result{}, err
	}
	if r.About.Fabric != to.Fabric {
		return Result{}, fmt.Errorf("restore fabric %s: %w: it is of fabric %s", to.Fabric, ErrForeign, diag.Quote(r.About.Fabric))
	}
	if err := files.SecretDir(to.Dir); err != nil {
		return Result{}, fmt.Errorf("use the data directory: %w", err)
	}
	for _, name := range []string{authorityDir, storeDir} {
		if _, err := os.Lstat(filepath.Join(to.Dir, name)); err == nil {
			return Result{}, fmt.Errorf("restore to %s: %w", diag.Quote(to.Dir), ErrOccupied)
		}
	}
	work := filepath.Join(to.Dir, workDir)
	if err := errors.Join(os.RemoveAll(work), files.SecretDir(work)); err != nil { // of one that was cut short
		return Result{}, fmt.Errorf("restore: %w", err)
	}
	out, err := r.restore(ctx, work, to)
	if err == nil {
		err = r.move(work, to.Dir)
	}
	if err != nil {
		return Result{}, errors.Join(err, os.RemoveAll(work))
	}
	return out, nil
}

func (r *Reader) restore(ctx context.Context, dir string, to Target) (out Result, err error) {
	if _, err := authority.Unpack(filepath.Join(dir, authorityDir), to.Fabric, r.Bundle, time.Now()); err != nil {
		return Result{}, err
	}
	st, err := store.Open(ctx, store.Options{Dir: filepath.Join(dir, storeDir), Log: to.Log})
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := st.Load(ctx, r.Next); err != nil {
		return Result{}, err
	}
	return r.begin(ctx, st)
}

// begin makes the revision that the restored fabric goes on with.
func (r *Reader) begin(ctx context.Context, st *store.Store) (Result, error) {
	newest, err := st.Newest(ctx)
	if err != nil {
		return Result{}, err
	}
	out := Result{About: r.About}
	if newest != nil {
		out.Last = newest.Number
	}
	out.First = out.Last + leap + rand.Uint64N(leap) //nolint:gosec // nobody gains by guessing it
	if err := st.Surpass(ctx, out.First-1); err != nil || newest == nil {
		return out, err
	}
	out.First, err = st.Commit(ctx, newest.Number, store.Revision{
		At: time.Now(), Author: "ropewayd", Kind: "restore", File: newest.File, Lock: newest.Lock,
		Reason: fmt.Sprintf("restored from the backup of %s, which ended at revision %d", r.About.At.Format(time.RFC3339), newest.Number),
	})
	return out, err
}

// move puts the store in its place first: a store without an authority is refused by whoever starts there, an authority without a store would begin
// a fabric anew.
func (r *Reader) move(work, dir string) error {
	for _, name := range []string{storeDir, authorityDir} {
		if err := os.Rename(filepath.Join(work, name), filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	return files.SyncDir(dir)
}
