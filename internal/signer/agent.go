package signer

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"ropeway/internal/diag"
)

// maxAgentMessage is what OpenSSH's agent takes (256 KiB), less what stands around a message, in bytes.
const maxAgentMessage = 255 << 10

// An agentKey is with an SSH agent, which may ask its owner before it signs.
type agentKey struct {
	name   string
	client agent.ExtendedAgent
	public ssh.PublicKey
	close  func() error
}

func (k agentKey) Close() error { return k.close() }

func (k agentKey) sign(message []byte) ([]byte, error) {
	if len(message) > maxAgentMessage {
		return nil, problem(codeTooLarge, k.name, fmt.Sprintf("an SSH agent signs %d bytes at most, and it is %d", maxAgentMessage, len(message)))
	}
	signature, err := k.client.Sign(k.public, message)
	if err != nil {
		return nil, hinted(codeAway, k.name, "the agent did not sign: "+diag.Quote(err.Error()), "does ssh-add -l still show the key? An agent that asks for a confirmation takes no for an answer")
	}
	if signature.Format != ssh.KeyAlgoED25519 {
		return nil, problem(codeAnswer, k.name, "the agent signed in the format "+diag.Quote(signature.Format))
	}
	return signature.Blob, nil
}

func openAgent(ctx context.Context, r reference) (ed25519.PublicKey, key, error) {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, nil, hinted(codeAway, r.String(), "SSH_AUTH_SOCK is not set, so there is no agent", "eval $(ssh-agent), then ssh-add FILE; over ssh, forward yours: ssh -A")
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, nil, problem(codeAway, r.String(), err.Error())
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends a request that waits for somebody
	k := agentKey{name: r.String(), client: agent.NewClient(conn), close: func() error {
		if !stop() {
			return nil // it is closed
		}
		return conn.Close()
	}}
	public, err := k.choose(r)
	if err != nil {
		return nil, nil, errors.Join(err, k.Close())
	}
	return public, k, nil
}

// choose settles which key it is.
func (k *agentKey) choose(r reference) (ed25519.PublicKey, error) {
	all, err := k.client.List()
	if err != nil {
		return nil, problem(codeAway, r.String(), "the agent does not say which keys it has: "+diag.Quote(err.Error()))
	}
	found := meant(r.name, all)
	if len(found) != 1 {
		return nil, hinted(codeUnusable, r.String(), fmt.Sprintf("%d keys of the agent are meant by it", len(found)), "name one by its fingerprint; "+told(all))
	}
	if err := plain(found[0].Format); err != nil {
		return nil, hinted(codeUnusable, r.String(), err.Error(), "name another key; "+told(all))
	}
	if k.public, err = ssh.ParsePublicKey(found[0].Blob); err != nil {
		return nil, problem(codeUnusable, r.String(), "the agent shows a key that is none: "+diag.Quote(err.Error()))
	}
	public, ok := k.public.(ssh.CryptoPublicKey).CryptoPublicKey().(ed25519.PublicKey)
	if !ok {
		return nil, problem(codeUnusable, r.String(), "the agent shows a key of another kind than it says")
	}
	return public, nil
}

// meant returns the keys that a fingerprint or a comment means; no name means every key. Those that sign plainly come before all others, such as
// the certificate that ssh-add adds with a key, under the same comment.
func meant(name string, all []*agent.Key) []*agent.Key {
	var usable, other []*agent.Key
	for _, k := range all {
		switch {
		case name != "" && name != k.Comment && name != ssh.FingerprintSHA256(k):
		case plain(k.Format) == nil:
			usable = append(usable, k)
		case name != "":
			other = append(other, k)
		}
	}
	if len(usable) > 0 {
		return usable
	}
	return other
}

// plain refuses keys whose signatures are not over the message itself.
func plain(format string) error {
	switch {
	case format == ssh.KeyAlgoED25519:
		return nil
	case strings.Contains(format, "-cert-"):
		return errors.New("it is a certificate, and gateways know nothing of those; ssh-add adds its key, too, unless it was told not to")
	case strings.HasPrefix(format, "sk-"):
		return errors.New("it is on a security key, which signs a message of its own around the one that it is given; gateways would not take it")
	}
	return fmt.Errorf("it is of the kind %s, and not of ssh-ed25519", diag.Quote(format))
}

// told lists what an agent has; who reads it may have more keys than he thinks.
func told(keys []*agent.Key) string {
	var list []string
	for _, k := range keys {
		if plain(k.Format) == nil && len(list) < 10 {
			list = append(list, ssh.FingerprintSHA256(k)+" "+diag.Quote(k.Comment))
		}
	}
	return cmp.Or(strings.Join(list, ", "), "no Ed25519 key is there: ssh-add FILE adds one, and ssh-add -X unlocks an agent")
}
