package authority

import (
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// The key of the audit log is the same wherever the authority is, another one for another authority, and not the one that signs plans.
func TestTheKeyOfTheAuditLog(t *testing.T) {
	a, dir := fresh(t)
	other, _ := fresh(t)
	public := func(a *Authority) ed25519.PublicKey {
		t.Helper()
		k, err := a.AuditSigner()
		if err != nil {
			t.Fatal(err)
		}
		signature, err := k.Sign(nil, []byte("x"), crypto.Hash(0))
		if p := k.Public().(ed25519.PublicKey); err != nil || !ed25519.Verify(p, []byte("x"), signature) {
			t.Fatalf("it does not sign: %v", err)
		}
		if text := fmt.Sprintf("%v %+v %#v %s %x", k, k, k, k, k); strings.Trim(strings.ReplaceAll(text, redacted, ""), " ") != "" {
			t.Errorf("it prints as %s", text)
		}
		if text, err := json.Marshal(k); err == nil {
			t.Errorf("it marshals as %s", text)
		}
		return k.Public().(ed25519.PublicKey)
	}
	key := public(a)
	switch {
	case !key.Equal(public(open(t, dir))):
		t.Error("the next start has another one")
	case key.Equal(public(other)):
		t.Error("two authorities have the same")
	case key.Equal(a.PublicKey()):
		t.Error("it is the one that signs plans")
	}
}
