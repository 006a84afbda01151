package signer

import "testing"

func TestReferences(t *testing.T) {
	for _, text := range []string{
		"file:/etc/ropeway/plans.key", "file:plans.key", "file:a:b?c", "ssh-agent:", "ssh-agent:SHA256:abc", "ssh-agent:ada@laptop blue",
		"vault:transit/plans", "vault:a/b/plans", "vault:transit/plans?version=3", "awskms:1234abcd-12ab-34cd-56ef-1234567890ab", "awskms:alias/plans?region=eu-west-1",
		"awskms:arn:aws:kms:us-east-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
		"gcpkms:projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
	} {
		r, err := parse(text)
		if err != nil || r.String() != text {
			t.Errorf("%q: %q, %v", text, r.String(), err)
		}
	}
	for _, text := range []string{
		"", "plans.key", "file:", "file:a\x00b", "pkcs11:x", "FILE:x", "vault:", "vault:plans", "vault:/plans", "vault:transit/", "vault:transit/../sys", "vault:transit/a%2fb",
		"vault:transit/plans?version=0", "vault:transit/plans?version=01", "vault:transit/plans?version=", "vault:transit/plans?x=1", "vault:transit/plans?version=1&version=2",
		"vault:transit/plans#x", "awskms:", "awskms:a b", "awskms:x?region=a/b", "awskms:x?region=", "awskms:x?endpoint=http://evil", "gcpkms:", "gcpkms:projects/p",
		"gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k", "gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/0", "gcpkms:projects/p/locations/l/keyRings/../cryptoKeys/k/cryptoKeyVersions/1",
	} {
		if r, err := parse(text); err == nil {
			t.Errorf("%q was taken for %+v", text, r)
		}
	}
}

// FuzzReference: what is taken is written back as it was read.
func FuzzReference(f *testing.F) {
	for _, text := range []string{"file:x", "ssh-agent:", "vault:a/b?version=1", "awskms:x?region=y", "gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parse(text)
		if err != nil {
			return
		}
		again, err := parse(r.String())
		if err != nil || again != r {
			t.Errorf("%q: %+v, then %+v, %v", text, r, again, err)
		}
	})
}
