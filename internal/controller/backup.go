package controller

import (
	"context"
	"crypto/sha256"
	"hash"

	"connectrpc.com/connect"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/backup"
	"ropeway/internal/store"
)

// Backup implements ropewayv1connect.ClusterServiceHandler. It is encrypted here, for those whom whoever runs the controller named: the authority's
// keys are in it, and a stolen certificate of an administrator shall not be enough to have them.
func (s clusterService) Backup(ctx context.Context, _ *ropewayv1.BackupRequest, stream *connect.ServerStream[ropewayv1.BackupResponse]) error {
	if len(s.opts.Recipients) == 0 {
		return asked(refusal(codeNoRecipient, "controller "+s.opts.Name, "nobody is named who could read a backup",
			"make a key (ropewayd backup-key FILE), keep it elsewhere, and start the controllers with --backup-recipient age1…"))
	}
	bundle, err := s.opts.Bundle()
	if err != nil {
		return err
	}
	out := &sender{stream: stream, sum: sha256.New()}
	about := backup.About{Fabric: s.opts.Fabric, At: s.opts.Now()}
	err = backup.Write(out, s.opts.Recipients, about, bundle, func(take func(store.Item) error) error { return s.opts.Store.Dump(ctx, take) })
	if err == nil {
		err = out.end()
	}
	if err != nil {
		s.log.Warn("no backup was made", "author", callerOf(ctx).String(), "error", err)
		return asked(err)
	}
	s.log.Info("a backup was made", "author", callerOf(ctx).String(), "bytes", out.bytes)
	return nil
}

// sendSize is how much of a backup one message holds, in bytes.
const sendSize = 256 << 10

// A sender is a writer whose other end is a client.
type sender struct {
	stream *connect.ServerStream[ropewayv1.BackupResponse]
	sum    hash.Hash
	kept   []byte
	bytes  int64
}

// Write implements io.Writer.
func (s *sender) Write(data []byte) (int, error) {
	s.kept = append(s.kept, data...)
	if len(s.kept) < sendSize {
		return len(data), nil
	}
	return len(data), s.flush()
}

func (s *sender) flush() error {
	_, _ = s.sum.Write(s.kept) // never fails (package hash)
	s.bytes += int64(len(s.kept))
	err := s.stream.Send(&ropewayv1.BackupResponse{Data: s.kept})
	s.kept = s.kept[:0]
	return err
}

// end sends the rest, and what shows that nothing is missing.
func (s *sender) end() error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.stream.Send(&ropewayv1.BackupResponse{Sum: s.sum.Sum(nil)})
}
