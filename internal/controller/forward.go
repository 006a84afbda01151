package controller

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"ropeway/internal/audit"
	"ropeway/internal/sink"
	"ropeway/internal/store"
)

// A forwarder carries the audit log to one sink.
type forwarder struct {
	*book
	sink   sink.Sink
	dir    string // of its bookmark
	failed bool   // the last try; told once
}

// How a sink that does not take events is tried again, and how many it is given at a time.
const (
	firstPause = time.Second
	longPause  = time.Minute
	sinkBatch  = 200
)

// run forwards until ctx ends. Whatever is wrong with a sink is told and tried again: nothing else waits for it.
func (f *forwarder) run(ctx context.Context) error {
	pause := firstPause
	for stirs := f.store.WatchAudit(ctx); ; {
		err := f.forward(ctx)
		if ctx.Err() != nil {
			return f.sink.Close()
		}
		f.tell(err)
		if err == nil {
			pause = firstPause
			if _, ok := <-stirs; !ok && ctx.Err() == nil {
				return errors.Join(errors.New("the store no longer tells of the audit log"), f.sink.Close())
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // nobody gains by guessing it
			pause = min(2*pause, longPause)
		}
	}
}

func (f *forwarder) tell(err error) {
	switch {
	case err != nil && !f.failed:
		f.log.Error("audit events wait for a sink", "sink", f.sink.Name(), "error", err)
	case err == nil && f.failed:
		f.log.Info("a sink takes audit events again", "sink", f.sink.Name())
	}
	f.failed = err != nil
}

// forward sends all that is there.
func (f *forwarder) forward(ctx context.Context) error {
	mark, err := sink.OpenBookmark(f.dir, f.signer.Log(), f.sink.Name())
	if err == nil {
		mark, err = f.resume(ctx, mark)
	}
	for err == nil {
		var leaves [][]byte
		if leaves, err = f.store.AuditEntries(ctx, mark.Next, sinkBatch); err != nil || len(leaves) == 0 {
			return err
		}
		mark, err = f.send(ctx, mark, leaves)
	}
	return err
}

// send gives the sink a batch, and moves the bookmark once it has it. What is no entry of this version goes out as one that says so.
func (f *forwarder) send(ctx context.Context, mark sink.Bookmark, leaves [][]byte) (sink.Bookmark, error) {
	events := make([]sink.Event, len(leaves))
	for i, leaf := range leaves {
		position := mark.Next + int64(i)
		e, err := audit.Decode(leaf)
		if err != nil {
			e = audit.Entry{At: f.now().UnixMilli(), Who: audit.Controller, What: "audit.unreadable", Outcome: audit.Refused, Detail: err.Error()}
		}
		events[i] = sink.Event{Position: position, Entry: e, Line: audit.Line(f.signer.Log(), position, e)}
	}
	if err := f.sink.Send(ctx, events); err != nil {
		return mark, err
	}
	mark.Next, mark.Last = mark.Next+int64(len(leaves)), tlog.RecordHash(leaves[len(leaves)-1])
	return mark, mark.Save(f.dir, f.sink.Name())
}

// resume sees that the log is the one that the bookmark was put into. Where it is another one, since the store was restored, all of it is sent: twice
// is better than not at all. Entries that were removed before the sink took them are told of.
func (f *forwarder) resume(ctx context.Context, mark sink.Bookmark) (sink.Bookmark, error) {
	head, err := f.store.AuditHead(ctx)
	if err != nil {
		return mark, err
	}
	if mark.Next > head.First.Size {
		last, err := f.store.AuditEntries(ctx, mark.Next-1, 1)
		if err != nil && !errors.Is(err, store.ErrTrimmed) {
			return mark, err
		}
		if len(last) == 0 || tlog.RecordHash(last[0]) != mark.Last {
			f.log.Error("the audit log is not the one that the sink has: all of it is sent", "sink", f.sink.Name(), "sent", mark.Next, "entries", head.Tree.Size)
			mark = sink.Bookmark{Log: mark.Log}
		}
	}
	if missed := head.First.Size - mark.Next; missed > 0 {
		f.log.Error("audit entries were removed before a sink took them", "sink", f.sink.Name(), "entries", fmt.Sprintf("%d to %d", mark.Next, head.First.Size-1))
		mark.Next = head.First.Size
	}
	return mark, nil
}
