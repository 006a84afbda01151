package signer

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"net/http"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"ropeway/internal/diag"
	"ropeway/internal/plankey"
)

const (
	gcpAddress = "https://cloudkms.googleapis.com"
	gcpScope   = "https://www.googleapis.com/auth/cloudkms"
)

// A gcpKey is a version of a key in Cloud KMS, of the kind EC_SIGN_ED25519. Who asks is found as Google's clients do (application default credentials).
type gcpKey struct {
	reference
	service
	tokens oauth2.TokenSource
}

func openGCP(ctx context.Context, r reference, address string) (ed25519.PublicKey, key, error) {
	who, err := google.FindDefaultCredentials(ctx, gcpScope)
	if err != nil {
		return nil, nil, hinted(codeAway, r.String(), err.Error(), "gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS")
	}
	var billed struct {
		Project string `json:"quota_project_id"` // a person's credentials name one, and Google wants to hear it
	}
	header := http.Header{}
	if json.Unmarshal(who.JSON, &billed) == nil && billed.Project != "" {
		header.Set("X-Goog-User-Project", billed.Project)
	}
	k := gcpKey{reference: r, tokens: who.TokenSource}
	if k.service, err = newService(ctx, r.String(), address, "", header); err != nil {
		return nil, nil, err
	}
	public, err := k.public()
	if err != nil {
		return nil, nil, errors.Join(err, k.Close())
	}
	return public, k, nil
}

func (k gcpKey) public() (ed25519.PublicKey, error) {
	var answer struct {
		PEM       string `json:"pem"`
		Algorithm string `json:"algorithm"`
	}
	if err := k.ask(http.MethodGet, "/publicKey", nil, &answer); err != nil {
		return nil, err
	}
	if answer.Algorithm != "EC_SIGN_ED25519" {
		return nil, hinted(codeUnusable, k.String(), "it is of the kind "+diag.Quote(answer.Algorithm)+", and no Ed25519 key",
			"make one: gcloud kms keys create NAME --purpose asymmetric-signing --default-algorithm ec-sign-ed25519")
	}
	public, err := plankey.Public([]byte(answer.PEM))
	if err != nil {
		return nil, problem(codeAnswer, k.String(), "Google shows a key that is none: "+err.Error())
	}
	return public, nil
}

func (k gcpKey) sign(message []byte) ([]byte, error) {
	ask := struct {
		Data []byte `json:"data"`
	}{message}
	var answer struct {
		Signature []byte `json:"signature"`
	}
	err := k.ask(http.MethodPost, ":asymmetricSign", ask, &answer)
	return answer.Signature, err
}

// ask calls a method of the key, with a token that is good now.
func (k gcpKey) ask(method, what string, ask, answer any) error {
	token, err := k.tokens.Token()
	if err != nil {
		return hinted(codeAway, k.String(), "Google gives no token: "+diag.Quote(err.Error()), "gcloud auth application-default login")
	}
	k.header.Set("Authorization", token.Type()+" "+token.AccessToken)
	return k.call(method, "/v1/"+k.name+what, ask, answer)
}
