package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"ropeway/internal/store"
)

const childEnv = "ROPEWAY_STORE_TEST_DIR"

// commitUntilKilled is the child: it says every number only once it was acknowledged.
func commitUntilKilled(dir string) {
	s, err := store.Open(context.Background(), store.Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	newest, err := s.Newest(context.Background())
	if err != nil {
		panic(err)
	}
	base := uint64(0)
	if newest != nil {
		base = newest.Number
	}
	go func() { // gives entries of the audit log their places meanwhile
		for range s.WatchAudit(context.Background()) {
			if _, err := s.Sequence(context.Background(), auditor(1)); err != nil {
				panic(err)
			}
		}
	}()
	for {
		r := change("admin/child")
		r.Reason = fmt.Sprint("the one after ", base)
		if base%5 == 0 {
			r.File = noise(base, 1100<<10)
		}
		if base, err = s.Commit(context.Background(), base, r); err != nil {
			panic(err)
		}
		_, _ = fmt.Fprintln(os.Stdout, base)
	}
}

// What was acknowledged is there after the process was killed at any moment, and nothing is there by half.
func TestKilled(t *testing.T) {
	t.Parallel() // it waits for the disk
	dir := filepath.Join(t.TempDir(), "etcd")
	var said uint64
	for round := range 3 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env, child.Stderr = append(os.Environ(), childEnv+"="+dir), os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		var end *time.Timer
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if said, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
				t.Fatal(err)
			}
			if end == nil {
				end = time.AfterFunc(time.Duration(300+37*round)*time.Millisecond, func() { _ = child.Process.Kill() })
			}
		}
		_ = child.Wait() // it was killed
	}
	s := open(t, store.Options{Dir: dir})
	newest, err := s.Newest(t.Context())
	if err != nil || newest == nil || newest.Number < said || newest.Number > said+1 {
		t.Fatalf("%d was acknowledged; the newest is %v, %v", said, newest, err)
	}
	for n := uint64(1); n <= newest.Number; n++ {
		r, err := s.Revision(t.Context(), n)
		if err != nil || r.Reason != fmt.Sprint("the one after ", n-1) {
			t.Errorf("revision %d: %v, %v", n, r, err)
		}
	}
	drain(t, s)
	_, entries := logged(t, s)
	if len(entries) != int(newest.Number) {
		t.Errorf("%d revisions, and %d entries of the audit log", newest.Number, len(entries))
	}
	for i, e := range entries {
		if e.Revision != uint64(i)+1 {
			t.Errorf("entry %d is of revision %d", i, e.Revision)
		}
	}
	t.Logf("%d revisions over three kills", newest.Number)
}
