// Package keeper encrypts backups for a key that is in a KMS.
//
// A Keeper is a recipient and an identity of age's. age encrypts a backup with a key of its own making, and that key is what the KMS encrypts: 16 bytes,
// in a stanza of the header. So a backup is as one for any other recipient, may be for several, and never goes to the KMS. The KMS knows who may encrypt
// and who may decrypt; give controllers the former alone, and no controller can read a backup again.
//
// Nothing is asked of the KMS before there is a backup to make: a controller starts, and does everything else, without it.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/aws/smithy-go"
	"github.com/hashicorp/vault/api"
	"gocloud.dev/gcerrors"

	"ropeway/internal/diag"
)

// stanza is the type of a stanza; its one argument is the scheme of the KMS's address.
const stanza = "ropeway-kms"

const (
	fileKeySize = 16 // of age's (age-encryption.org/v1)
	callTimeout = time.Minute
	maxWords    = 400 // of what a KMS says
)

// ErrURL is returned for an address of no KMS. Test with errors.Is.
var ErrURL = errors.New("it is no address of a key in a KMS: want awskms://, gcpkms://, azurekeyvault:// or hashivault://")

// A Keeper is one key in a KMS.
type Keeper struct {
	address *url.URL
	open    opener
}

// New takes the address of a key, as gocloud.dev/secrets writes it. It asks nobody.
func New(address string) (*Keeper, error) {
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.Host+u.Path == "" {
		return nil, ErrURL
	}
	open, ok := openers()[u.Scheme]
	if !ok {
		return nil, ErrURL
	}
	return &Keeper{u, open}, nil
}

// Wrap encrypts the key of a file.
func (k *Keeper) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	with, done, err := k.open(ctx, k.address)
	if err != nil {
		return nil, k.away(err)
	}
	defer done()
	body, err := with.Encrypt(ctx, fileKey)
	if err != nil {
		return nil, k.away(err)
	}
	return []*age.Stanza{{Type: stanza, Args: []string{k.address.Scheme}, Body: body}}, nil
}

// Unwrap decrypts the key of a file. The error is age.ErrIncorrectIdentity where the KMS says that its key did not encrypt it.
func (k *Keeper) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	with, done, err := k.open(ctx, k.address)
	if err != nil {
		return nil, k.away(err)
	}
	defer done()
	refused := age.ErrIncorrectIdentity
	for _, s := range stanzas {
		if s.Type != stanza || len(s.Args) != 1 || s.Args[0] != k.address.Scheme {
			continue
		}
		fileKey, err := with.Decrypt(ctx, s.Body)
		switch {
		case err == nil && len(fileKey) == fileKeySize:
			return fileKey, nil
		case err != nil && !misfit(err):
			return nil, k.away(err)
		}
		refused = fmt.Errorf("%w: the KMS makes nothing of it with this key", age.ErrIncorrectIdentity)
	}
	return nil, refused
}

// misfit reports whether a KMS was there, let us in, and said that its key did not encrypt what it was given.
func misfit(err error) bool {
	var vault *api.ResponseError
	var amazon smithy.APIError
	switch {
	case errors.As(err, &vault):
		return vault.StatusCode == http.StatusBadRequest
	case errors.As(err, &amazon) && amazon.ErrorCode() == "IncorrectKeyException":
		return true
	}
	return gcerrors.Code(err) == gcerrors.InvalidArgument
}

// away says in the KMS's own words that it did not do its part. What stands after the ? of an address may be anything.
func (k *Keeper) away(err error) error {
	words := strings.Join(strings.Fields(err.Error()), " ")
	return diag.Problem{
		Code: "RW7235", Severity: diag.Error, Subject: "KMS key " + diag.Quote(k.address.Scheme+"://"+k.address.Host+k.address.Path),
		Message: strconv.QuoteToASCII(words[:min(len(words), maxWords)]), Hint: "see that it is reached from here, and that this program may use the key",
	}
}
