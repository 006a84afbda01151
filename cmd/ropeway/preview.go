package main

import (
	"context"
	"encoding/json"
	"fmt"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/files"
	"ropeway/internal/proposal"
)

// preview has the controller say what a file would change.
func (r *remote) preview(ctx context.Context, req *ropewayv1.PreviewRequest) (*shown, error) {
	answer, err := r.fabric.Preview(ctx, req)
	if err != nil {
		return nil, err
	}
	if answer.ToSign != nil {
		return r.examine(ctx, req, answer)
	}
	p := &shown{Proposal: &proposal.Proposal{}, file: req.Name, remote: true, base: answer.Base, digest: proposal.Digest(answer.Proposal)}
	if err := json.Unmarshal(answer.Proposal, p.Proposal); err != nil {
		return nil, fmt.Errorf("read the controller's answer: %w", err)
	}
	return p, nil
}

// save writes what is shown, readable by this user alone: who reaches what is nobody else's business.
func (p *shown) save(path string, src *source) error {
	kept := proposal.Saved{Fabric: p.Fabric, Name: src.file, Base: p.base, Digest: p.digest, File: src.text}
	data, err := kept.Encode()
	if err != nil {
		return err
	}
	if err := files.Replace(path, data, 0o600); err != nil {
		return unwritable("saved plan", err)
	}
	p.saved = path
	return nil
}
