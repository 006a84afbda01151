package signer_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"ropeway/internal/signer"
)

const awsARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// An amazon speaks the part of AWS's protocol that a signer needs, as AWS documents it (KMS API reference: GetPublicKey, Sign; Signature Version 4).
// No test has spoken to AWS itself.
type amazon struct {
	t       *testing.T
	spec    string
	public  crypto.PublicKey
	private ed25519.PrivateKey
	asked   []string
}

func (a *amazon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	deny := func(code, message string) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message})
	}
	if !a.signed(r, body) {
		deny("InvalidSignatureException", "The request signature we calculated does not match the signature you provided.")
		return
	}
	var ask struct {
		KeyId, MessageType, SigningAlgorithm string //nolint:revive // AWS's names
		Message                              []byte
	}
	_ = json.Unmarshal(body, &ask)
	a.asked = append(a.asked, r.Header.Get("X-Amz-Target")+" "+ask.KeyId)
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.GetPublicKey":
		if ask.KeyId == "alias/none" {
			deny("NotFoundException", "Alias arn:aws:kms:eu-west-1:111122223333:alias/none is not found.")
			return
		}
		der, err := x509.MarshalPKIXPublicKey(a.public)
		must(a.t, err)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"KeyId": awsARN, "KeySpec": a.spec, "KeyUsage": "SIGN_VERIFY", "PublicKey": der, "SigningAlgorithms": []string{"ED25519_SHA_512", "ED25519_PH_SHA_512"},
		})
	case "TrentService.Sign":
		if ask.MessageType != "RAW" || ask.SigningAlgorithm != "ED25519_SHA_512" {
			deny("ValidationException", "ED25519_SHA_512 requires RAW")
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"KeyId": awsARN, "Signature": ed25519.Sign(a.private, ask.Message), "SigningAlgorithm": ask.SigningAlgorithm})
	default:
		deny("UnknownOperationException", "")
	}
}

// signed reports whether a request is signed with the key that the test was given (Signature Version 4).
func (a *amazon) signed(r *http.Request, body []byte) bool {
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return false
	}
	again := r.Clone(context.Background())
	again.URL.Host, again.URL.Scheme, again.ContentLength = r.Host, "http", int64(len(body))
	again.Header = http.Header{}
	_, list, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	list, _, _ = strings.Cut(list, ",")
	for name := range strings.SplitSeq(list, ";") {
		if values := r.Header.Values(name); len(values) > 0 {
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	sum := sha256.Sum256(body)
	err = v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "canary-secret"}, again, hex.EncodeToString(sum[:]), "kms", "eu-west-1", at)
	return err == nil && again.Header.Get("Authorization") == r.Header.Get("Authorization")
}

func startAmazon(t *testing.T) *amazon {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	a := &amazon{t: t, spec: "ECC_NIST_EDWARDS25519", public: public, private: private}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_KMS": server.URL, "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "canary-secret", "AWS_SESSION_TOKEN": "", "AWS_REGION": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": filepath.Join(t.TempDir(), "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"), "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
	return a
}

// An alias is asked about once: what signs is the key that it meant then.
func TestAWS(t *testing.T) {
	a := startAmazon(t)
	s := open(t, "awskms:alias/plans?region=eu-west-1")
	signs(t, s)
	if len(a.asked) != 7 || a.asked[0] != "TrentService.GetPublicKey alias/plans" || a.asked[1] != "TrentService.Sign "+awsARN {
		t.Errorf("it was asked %q", a.asked)
	}
	_, err := s.Sign(nil, make([]byte, signer.MaxMessage+1), crypto.Hash(0))
	refused(t, "a large message", err, "RW6034", "4096")
	_, a.private, err = ed25519.GenerateKey(rand.Reader)
	must(t, err)
	_, err = s.Sign(nil, []byte("x"), crypto.Hash(0))
	refused(t, "another key's signature", err, "RW6033")
}

func TestAWSRefused(t *testing.T) {
	a := startAmazon(t)
	_, err := signer.Open(t.Context(), "awskms:alias/none?region=eu-west-1", nil)
	refused(t, "no key", err, "RW6032", "NotFoundException", "alias/none")
	_, err = signer.Open(t.Context(), "awskms:alias/plans", nil)
	refused(t, "no region", err, "RW6031", "region")
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	a.spec, a.public = "ECC_NIST_P256", curve.Public()
	_, err = signer.Open(t.Context(), "awskms:x?region=eu-west-1", nil)
	refused(t, "another kind", err, "RW6031", "ECC_NIST_P256", "create-key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	_, err = signer.Open(t.Context(), "awskms:x?region=eu-west-1", nil)
	refused(t, "a stranger", err, "RW6032", "InvalidSignatureException")
	t.Setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")
	_, err = signer.Open(t.Context(), "awskms:x?region=eu-west-1", nil)
	refused(t, "away", err, "RW6032", "refused")
}
