package controller

import (
	"context"
	"errors"
	"strings"

	"connectrpc.com/connect"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/audit"
	"ropeway/internal/diag"
	"ropeway/internal/store"
)

// auditService is for those who look after who did what.
type auditService struct{ *Controller }

// What one call reads.
const (
	auditPage = 1000 // entries at a time
	auditScan = 5000 // entries that ListEntries looks at before it answers with what it has
)

// ListEntries implements ropewayv1connect.AuditServiceHandler. What is pending has its place before anybody looks, so whoever changed something
// finds it at once.
func (s auditService) ListEntries(ctx context.Context, req *ropewayv1.ListEntriesRequest) (*ropewayv1.ListEntriesResponse, error) {
	head, err := s.auditHead(ctx)
	if err != nil {
		return nil, asked(err)
	}
	limit := min(int(req.Limit), mostPage)
	if limit == 0 {
		limit = usualPage
	}
	before := head.Tree.Size
	if req.Before > 0 {
		before = min(before, int64(min(req.Before, 1<<62)))
	}
	out := &ropewayv1.ListEntriesResponse{}
	for scanned := 0; before > head.First.Size && scanned < auditScan; {
		from := max(before-auditPage, head.First.Size)
		leaves, err := s.opts.Store.AuditEntries(ctx, from, int(before-from))
		if err != nil {
			return nil, asked(err)
		}
		for i := len(leaves) - 1; i >= 0; i-- {
			before--
			if matches(leaves[i], req) {
				out.Entries = append(out.Entries, &ropewayv1.AuditEntry{Position: uint64(before), Entry: string(leaves[i])})
			}
			if len(out.Entries) == limit {
				break
			}
		}
		if scanned += len(leaves); len(out.Entries) == limit {
			break
		}
	}
	if before > head.First.Size {
		out.Next = uint64(before)
	}
	return out, nil
}

// auditHead returns the log with all that was pending.
func (c *Controller) auditHead(ctx context.Context) (*store.Head, error) {
	if err := c.book.drain(ctx); err != nil {
		c.log.Error("the audit log does not take entries: they wait", "error", err) // what is in it can be read all the same
	}
	return c.opts.Store.AuditHead(ctx)
}

// matches reports whether an entry is asked for. One that cannot be read always is: it must not hide.
func matches(leaf []byte, req *ropewayv1.ListEntriesRequest) bool {
	e, err := audit.Decode(leaf)
	if err != nil {
		return true
	}
	return max(e.At, e.Until) >= req.Since &&
		(req.Who == "" || req.Who == e.Who) &&
		(req.What == "" || req.What == e.What || strings.HasPrefix(e.What, req.What+".")) &&
		(req.Revision == 0 || req.Revision == e.Revision)
}

// ReadLog implements ropewayv1connect.AuditServiceHandler.
func (s auditService) ReadLog(ctx context.Context, req *ropewayv1.ReadLogRequest) (*ropewayv1.ReadLogResponse, error) {
	limit := min(int(req.Limit), auditPage)
	if limit == 0 {
		limit = auditPage
	}
	from := int64(min(req.From, 1<<62))
	leaves, err := s.opts.Store.AuditEntries(ctx, from, limit)
	if err != nil {
		return nil, asked(err)
	}
	out := &ropewayv1.ReadLogResponse{}
	for i, leaf := range leaves {
		out.Entries = append(out.Entries, &ropewayv1.AuditEntry{Position: uint64(from) + uint64(i), Entry: string(leaf)})
	}
	return out, nil
}

// GetCheckpoint implements ropewayv1connect.AuditServiceHandler.
func (s auditService) GetCheckpoint(ctx context.Context, _ *ropewayv1.GetCheckpointRequest) (*ropewayv1.GetCheckpointResponse, error) {
	head, err := s.auditHead(ctx)
	if err != nil {
		return nil, asked(err)
	}
	out := &ropewayv1.GetCheckpointResponse{Checkpoint: head.Checkpoint, Key: s.book.signer.Key(), First: uint64(head.First.Size)}
	if out.Checkpoint == "" { // the log is empty, and that can be said as well
		if out.Checkpoint, err = s.book.signer.Checkpoint(head.Tree, 0); err != nil {
			return nil, err
		}
	}
	for _, h := range head.First.Edge {
		out.Edge = append(out.Edge, h[:])
	}
	return out, nil
}

// TrimLog implements ropewayv1connect.AuditServiceHandler.
func (s auditService) TrimLog(ctx context.Context, req *ropewayv1.TrimLogRequest) (*ropewayv1.TrimLogResponse, error) {
	upTo, err := audit.OpenCheckpoint(req.Checkpoint, s.book.signer.Key())
	if err != nil {
		return nil, asked(diag.Problem{Code: "RW7410", Severity: diag.Error, Subject: "audit log", Message: "its checkpoint: " + err.Error(), Hint: "export again, and trim with that export"})
	}
	err = s.opts.Store.TrimAudit(ctx, s.book.signer, upTo)
	if errors.Is(err, store.ErrTrimmed) {
		return nil, connect.NewError(connect.CodeFailedPrecondition, err)
	}
	if err != nil {
		return nil, asked(err)
	}
	s.log.Info("the audit log was trimmed", "first", upTo.Size, "author", callerOf(ctx).String())
	return &ropewayv1.TrimLogResponse{}, nil
}
