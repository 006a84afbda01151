package signer

import "ropeway/internal/diag"

// What can be wrong with a signer; see docs/errors.md.
const (
	codeReference diag.Code = "RW6030" // the text
	codeUnusable  diag.Code = "RW6031" // no such key, exposed, of another kind
	codeAway      diag.Code = "RW6032" // an agent or a service does not answer, or refuses
	codeAnswer    diag.Code = "RW6033" // a signature of something else
	codeTooLarge  diag.Code = "RW6034" // the message
)

func problem(code diag.Code, subject, message string) diag.Problem {
	hint := map[diag.Code]string{
		codeReference: "write file:PATH, ssh-agent:FINGERPRINT, vault:MOUNT/KEY, awskms:KEY?region=REGION or gcpkms:projects/…/cryptoKeyVersions/N",
		codeUnusable:  "name an Ed25519 key that you may use, and nobody else can read",
		codeAway:      "see that it runs, that it is reached from here, and that you may sign with the key",
		codeAnswer:    "was the key replaced a moment ago? Try again, and compare its fingerprint with the one that the controllers trust",
		codeTooLarge:  "sign with another kind of signer, or make the plan smaller",
	}[code]
	return hinted(code, subject, message, hint)
}

func hinted(code diag.Code, subject, message, hint string) diag.Problem {
	return diag.Problem{Code: code, Severity: diag.Error, Subject: "signing key " + diag.Quote(subject), Message: message, Hint: hint}
}
