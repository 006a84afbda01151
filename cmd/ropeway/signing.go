package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/internal/console"
	"ropeway/internal/plankey"
	"ropeway/internal/proposal"
	"ropeway/internal/seal"
	"ropeway/internal/signer"
)

// signing is what the flags say of the key that signs plans, where it is kept outside the controllers.
type signing struct {
	with    string
	vouched []string
}

// signerVariable names the signer where no flag does.
const signerVariable = "ROPEWAY_SIGNER"

// wayBack is how long a change may go back by itself: longer than any rollout that somebody watches, and soon over for whoever takes a controller over.
const wayBack = time.Hour

func (s *signing) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.with, "signer", "", "what signs plans, where controllers do not: file:PATH, ssh-agent:NAME, vault:MOUNT/KEY, awskms:KEY, gcpkms:KEY (default: $"+signerVariable+")")
	cmd.Flags().StringSliceVar(&s.vouched, "vouch", nil, "with --auto-approve: NAME=KEY of a gateway whose new key you have compared with what the gateway says (ropeway-gateway key)")
}

// examine works a change out here, where a controller has it signed by others: what it says itself is not believed.
func (r *remote) examine(ctx context.Context, req *ropewayv1.PreviewRequest, answer *ropewayv1.PreviewResponse) (*shown, error) {
	if req.File != nil && !bytes.Equal(req.File, answer.ToSign.File) {
		return nil, problem("RW7805", "controller "+r.server, "it would have another file signed than the one that was sent", "find out who has taken it over; sign nothing")
	}
	base := seal.Revision{Number: answer.Base}
	if answer.Base > 0 {
		was, err := r.fabric.GetRevision(ctx, &ropewayv1.GetRevisionRequest{Number: answer.Base})
		if err != nil {
			return nil, err
		}
		base.File, base.Lock, base.Signature, base.Until = was.File, was.Lock, was.Signature, was.Until
	}
	if err := r.notBehind(base.Number); err != nil {
		return nil, err
	}
	c, err := seal.Examine(r.member.Authority, r.member.Fabric, base, seal.Revision{Number: answer.ToSign.Number, File: answer.ToSign.File, Lock: answer.ToSign.Lock})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(c.Proposal)
	if err != nil {
		return nil, err
	}
	return &shown{Proposal: c.Proposal, file: req.Name, remote: true, base: answer.Base, digest: proposal.Digest(text), toSign: c}, nil
}

// ready refuses what could not be signed in the end. unseen says that nobody will look at the difference.
func (s *signing) ready(seen *shown, unseen bool) error {
	switch {
	case seen.toSign == nil:
		return nil
	case s.reference() == "":
		return problem("RW7801", "fabric "+seen.Fabric, "its plans are signed outside the controllers, and no key was named", "name what signs with --signer or "+signerVariable+"; see docs/signing.md")
	case unseen:
		return s.unvouched(seen)
	}
	return nil
}

func (s *signing) reference() string { return cmp.Or(s.with, os.Getenv(signerVariable)) }

// sign makes the signatures that a change needs; nil where the controllers sign themselves.
func (s *signing) sign(cmd *cobra.Command, r *remote, seen *shown, goesBack bool) (*ropewayv1.Seal, error) {
	if seen.toSign == nil {
		return nil, nil
	}
	k, err := signer.Open(cmd.Context(), s.reference(), passphrase(cmd))
	if err != nil {
		return nil, err
	}
	defer func() { _ = k.Close() }()
	public, pinned := k.Public().(ed25519.PublicKey), r.member.Authority
	if !public.Equal(pinned) {
		return nil, problem("RW7806", "signer "+k.String(), "gateways have pinned another key: "+plankey.Fingerprint(pinned), "name the signer that has that one")
	}
	out := &ropewayv1.Seal{}
	if out.Signature, err = seen.toSign.Sign(k); err != nil {
		return nil, err
	}
	if goesBack && seen.toSign.Known {
		out.BackUntil = uint64(time.Now().Add(wayBack).Unix())
		out.Back, err = seen.toSign.SignBack(k, out.BackUntil)
	}
	return out, err
}

// unvouched refuses new keys that nobody looked at.
func (s *signing) unvouched(seen *shown) error {
	var missing []string
	for _, k := range seen.toSign.Keys {
		if pair := k.Gateway + "=" + k.Is.String(); !k.Is.IsZero() && !slices.Contains(s.vouched, pair) {
			missing = append(missing, "--vouch "+pair)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return problem("RW7807", "fabric "+seen.Fabric, fmt.Sprintf("keys of gateways that were not signed before: %d, which nobody looked at", len(missing)),
		"compare each with what \"ropeway-gateway key\" says on the gateway; then add "+strings.Join(missing, " "))
}

// keysText lists the keys that are signed for the first time.
func keysText(s console.Style, c *seal.Case, base uint64) string {
	if c == nil {
		return ""
	}
	var b strings.Builder
	if !c.Known && base > 0 {
		b.WriteString(s.Bold("What was before") + "\n  is not signed with your key as this version compiles it, so all is shown as new, and it cannot come back by itself.\n\n")
	}
	if len(c.Keys) == 0 {
		return b.String()
	}
	b.WriteString(s.Bold("Keys") + "\n  Compare the new ones with what \"ropeway-gateway key\" says on each gateway: whoever has a controller could have put in his own.\n")
	for _, k := range c.Keys {
		line := fmt.Sprintf("+ %s %s", k.Gateway, k.Is)
		switch {
		case k.Is.IsZero():
			line = fmt.Sprintf("- %s %s", k.Gateway, k.Was)
		case !k.Was.IsZero():
			line = fmt.Sprintf("~ %s %s, until now %s", k.Gateway, k.Is, k.Was)
		}
		b.WriteString("  " + s.Diff(line) + "\n")
	}
	return b.String() + "\n"
}

// passphrase asks the person at the terminal for that of a key; nobody is asked where there is none.
func passphrase(cmd *cobra.Command) signer.Ask {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	return func(prompt string) ([]byte, error) {
		out := cmd.ErrOrStderr()
		_, _ = fmt.Fprint(out, prompt+": ")
		defer func() { _, _ = fmt.Fprintln(out) }()
		return term.ReadPassword(int(in.Fd()))
	}
}
