package signer

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"ropeway/internal/diag"
)

// An awsKey is in AWS KMS, of the kind ECC_NIST_EDWARDS25519. Who asks is found as everywhere with AWS: environment, profile, role.
type awsKey struct {
	ctx    context.Context //nolint:containedctx // crypto.Signer has no place for one
	name   string
	arn    string // an alias may mean another key a moment later
	client *kms.Client
}

func (awsKey) Close() error { return nil }

func openAWS(ctx context.Context, r reference) (ed25519.PublicKey, key, error) {
	account, err := config.LoadDefaultConfig(ctx, config.WithRegion(r.region))
	if err != nil {
		return nil, nil, problem(codeAway, r.String(), err.Error())
	}
	if account.Region == "" {
		return nil, nil, hinted(codeUnusable, r.String(), "it does not say in which region the key is", "awskms:"+r.name+"?region=REGION, or set AWS_REGION")
	}
	client := kms.NewFromConfig(account)
	answer, err := client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &r.name})
	if err != nil {
		return nil, nil, problem(codeAway, r.String(), awsSays(err))
	}
	if answer.KeySpec != types.KeySpecEccNistEdwards25519 {
		return nil, nil, hinted(codeUnusable, r.String(), "it is of the kind "+diag.Quote(string(answer.KeySpec))+", and no Ed25519 key",
			"make one: aws kms create-key --key-usage SIGN_VERIFY --key-spec ECC_NIST_EDWARDS25519")
	}
	parsed, err := x509.ParsePKIXPublicKey(answer.PublicKey)
	public, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok || aws.ToString(answer.KeyId) == "" {
		return nil, nil, problem(codeAnswer, r.String(), "AWS shows a key that is none")
	}
	return public, awsKey{ctx, r.String(), *answer.KeyId, client}, nil
}

func (k awsKey) sign(message []byte) ([]byte, error) {
	if len(message) > maxAWSMessage {
		return nil, problem(codeTooLarge, k.name, fmt.Sprintf("AWS signs %d bytes at most, and it is %d", maxAWSMessage, len(message)))
	}
	answer, err := k.client.Sign(k.ctx, &kms.SignInput{
		KeyId: &k.arn, Message: message, MessageType: types.MessageTypeRaw, SigningAlgorithm: types.SigningAlgorithmSpecEd25519Sha512,
	})
	if err != nil {
		return nil, problem(codeAway, k.name, awsSays(err))
	}
	return answer.Signature, nil
}

// maxAWSMessage is what AWS signs, in bytes.
const maxAWSMessage = 4096

// awsSays tells AWS's own words from what went wrong on the way to it.
func awsSays(err error) string {
	var said smithy.APIError
	if errors.As(err, &said) {
		return "AWS answers " + diag.Quote(said.ErrorCode()) + ": " + diag.Quote(said.ErrorMessage())
	}
	return err.Error()
}
