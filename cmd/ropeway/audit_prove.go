package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/tlog"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/audit"
	"ropeway/internal/console"
	"ropeway/internal/files"
)

// maxCheckpointFile bounds a file with a checkpoint, in bytes.
const maxCheckpointFile = 64 << 10

func newAuditCheckpointCommand() *cobra.Command {
	var key bool
	cmd := &cobra.Command{
		Use: "checkpoint", Short: "Print what the audit log is now, signed: keep it elsewhere", Args: cobra.NoArgs,
		Long: `Checkpoint prints the size and the hash of the audit log, signed by the controller. Keep it where nobody who runs the controllers can change it: whatever
is in the log now has to be in every later export, or "audit verify --checkpoint" says so. With --key it prints the key that knows the signature.`,
	}
	cmd.Flags().BoolVar(&key, "key", false, "print the key of the log instead, for audit verify --key")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return talk(cmd, func(r *remote) error {
			answer, err := r.audit.GetCheckpoint(cmd.Context(), &ropewayv1.GetCheckpointRequest{})
			switch {
			case err != nil:
				return err
			case key:
				return say(cmd, "%s\n", console.Visible(answer.Key))
			}
			if _, err := audit.OpenCheckpoint(answer.Checkpoint, answer.Key); err != nil {
				return fmt.Errorf("read the controller's answer: %w", err)
			}
			return say(cmd, "%s", answer.Checkpoint)
		})
	}
	return cmd
}

func newAuditExportCommand() *cobra.Command {
	return &cobra.Command{
		Use: "export FILE", Short: "Write the whole audit log to a file", Args: cobra.ExactArgs(1),
		Long: `Export writes the audit log to a new file: one line that says which log it is, with a signed checkpoint, and a line of JSON for each entry, with
the names of OCSF (class 6003, API Activity). "audit verify" proves it without a controller.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return talk(cmd, func(r *remote) error { return exportAudit(cmd, r, args[0]) })
		},
	}
}

func exportAudit(cmd *cobra.Command, r *remote, path string) error {
	answer, err := r.audit.GetCheckpoint(cmd.Context(), &ropewayv1.GetCheckpointRequest{})
	if err != nil {
		return err
	}
	now, err := audit.OpenCheckpoint(answer.Checkpoint, answer.Key)
	if err != nil {
		return fmt.Errorf("read the controller's answer: %w", err)
	}
	head := audit.Header{Log: now.Log, First: audit.Tree{Size: int64(answer.First)}, Checkpoint: answer.Checkpoint, Key: answer.Key}
	for _, h := range answer.Edge {
		if len(h) != tlog.HashSize {
			return errors.New("read the controller's answer: a hash has another length")
		}
		head.First.Edge = append(head.First.Edge, tlog.Hash(h))
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return unwritable("export", err)
	}
	w := bufio.NewWriter(f)
	err = audit.WriteHeader(w, head)
	if err == nil {
		err = r.copyAudit(cmd.Context(), w, head, now)
	}
	if err = errors.Join(err, w.Flush(), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path)) // half an export is none
	}
	return say(cmd, "%d entries, of %d that the log ever had.\n", now.Size-head.First.Size, now.Size)
}

// copyAudit writes the entries of the log up to a checkpoint.
func (r *remote) copyAudit(ctx context.Context, w io.Writer, head audit.Header, upTo audit.Checkpoint) error {
	for next := head.First.Size; next < upTo.Size; {
		answer, err := r.audit.ReadLog(ctx, &ropewayv1.ReadLogRequest{From: uint64(next)})
		if err != nil {
			return err
		}
		if len(answer.Entries) == 0 {
			return fmt.Errorf("read the audit log: entry %d is not there", next)
		}
		for _, x := range answer.Entries[:min(int64(len(answer.Entries)), upTo.Size-next)] {
			if err := audit.WriteEntry(w, head.Log, next, []byte(x.Entry)); err != nil {
				return err
			}
			next++
		}
	}
	return nil
}

func newAuditVerifyCommand() *cobra.Command {
	var checkpoint, key string
	cmd := &cobra.Command{
		Use: "verify FILE...", Short: "Prove of an export that nothing is missing and nothing was changed", Args: cobra.MinimumNArgs(1),
		Long: `Verify needs no controller. It proves that the file holds every entry of the log up to its checkpoint, in order and as it was written; with
--checkpoint, that the log begins with everything that was in it when that checkpoint was taken. Without a checkpoint or a key from elsewhere, it can only tell that
the file agrees with itself. Where the log was trimmed, give the exports one after the other, the oldest first.`,
	}
	cmd.Flags().StringVar(&checkpoint, "checkpoint", "", "file with a checkpoint that was kept elsewhere")
	cmd.Flags().StringVar(&key, "key", "", "key of the log, as audit checkpoint --key printed it")
	format := outputFlag(cmd, console.Text, console.JSON, console.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		known := audit.Known{Key: key}
		if checkpoint != "" {
			text, err := files.Read(checkpoint, maxCheckpointFile)
			if err != nil {
				return unreadable("checkpoint", err)
			}
			known.Checkpoint = string(text)
		}
		v, err := verifyAudit(known, args)
		if err != nil {
			return err
		}
		if format.Format != console.Text {
			return console.Encode(cmd.OutOrStdout(), format.Format, v)
		}
		return say(cmd, "%s", verdictText(v))
	}
	return cmd
}

func verifyAudit(known audit.Known, paths []string) (*audit.Verdict, error) {
	var parts []audit.File
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, unreadable("export", err)
		}
		defer func() { _ = f.Close() }()
		parts = append(parts, audit.File{Name: path, Reader: f})
	}
	return audit.Verify(known, parts...)
}

func verdictText(v *audit.Verdict) string {
	text := fmt.Sprintf("Log %s: %d entries, nothing is missing and nothing was changed.\n", v.Log, v.Size-v.First)
	if v.First > 0 {
		text += fmt.Sprintf("It begins after entry %d: what was before had been exported and removed, and that is in another file.\n", v.First-1)
	}
	switch {
	case v.Kept >= 0:
		text += fmt.Sprintf("It begins with the %d entries of the checkpoint that was kept.\n", v.Kept)
	case !v.Known:
		text += "Nothing of this was known from elsewhere: whoever has the controllers' keys could have written it anew. Keep a checkpoint (ropeway audit checkpoint), and\nname it with --checkpoint.\n"
	}
	return text + fmt.Sprintf("Signed by %s\n", v.Key)
}

func newAuditTrimCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "trim FILE", Short: "Remove from the controller what an export holds", Args: cobra.ExactArgs(1),
		Long: `Trim proves an export, and has the controller remove the entries that are in it. What is left there are their hashes, so that the next export
follows this one, and "audit verify" proves both together. Keep the file: the controller does not have its entries any more. That it was trimmed is recorded.`,
	}
	cmd.Flags().BoolVar(&yes, "auto-approve", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return talk(cmd, func(r *remote) error { return trimAudit(cmd, r, args[0], yes) })
	}
	return cmd
}

func trimAudit(cmd *cobra.Command, r *remote, path string, yes bool) error {
	now, err := r.audit.GetCheckpoint(cmd.Context(), &ropewayv1.GetCheckpointRequest{})
	if err != nil {
		return err
	}
	v, err := verifyAudit(audit.Known{Key: now.Key}, []string{path})
	if err != nil {
		return err
	}
	if !yes {
		if ok, err := ask(cmd, fmt.Sprintf("Remove entries %d to %d from the controller?", v.First, v.Size-1)); err != nil || !ok {
			return err
		}
	}
	if _, err := r.audit.TrimLog(cmd.Context(), &ropewayv1.TrimLogRequest{Checkpoint: v.Checkpoint}); err != nil {
		return err
	}
	return say(cmd, "The controller's audit log begins at entry %d.\n", v.Size)
}
