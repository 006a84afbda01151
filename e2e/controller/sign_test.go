package controller_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ropeway/internal/plankey"
)

// planKey makes a key that signs plans, in a file of that name, and returns the file and the public half.
func (w *world) planKey(name string) (file, public string) {
	w.t.Helper()
	half, private, err := ed25519.GenerateKey(nil)
	must(w.t, err)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	must(w.t, err)
	file = w.path(name)
	must(w.t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	return file, plankey.Line(half)
}

// vouches returns the flags that a refusal asks for: what a person finds where he compares keys.
func vouches(refusal string) (flags []string) {
	for _, pair := range regexp.MustCompile(`--vouch (\S+=)`).FindAllStringSubmatch(refusal, -1) {
		flags = append(flags, "--vouch", pair[1])
	}
	return flags
}

// signs has the administrator sign what waits, and vouch for the keys that are in it.
func (w *world) signs(with string) {
	w.t.Helper()
	refusal, code := w.ropeway("admin", "sign", "--signer", with, "--auto-approve")
	if code != 1 || !strings.Contains(refusal, "RW7807") {
		w.t.Fatalf("keys that nobody looked at were signed: exit %d\n%s", code, refusal)
	}
	w.do(append([]string{"sign", "--signer", with, "--auto-approve"}, vouches(refusal)...)...)
}

// TestSignedOutsideTheController: a fabric whose plans the administrator signs comes up, changes, goes back by itself, and follows nobody who has taken the
// controller over.
func TestSignedOutsideTheController(t *testing.T) {
	w := newWorldOf(t, 3)
	file, public := w.planKey("plans.key")
	signer := "file:" + file
	w.serve("--plan-key", public)
	w.do("login", server, "--token", w.firstToken(), "--plan-key", public)
	w.fails("admin", "RW7801", "apply", w.trio(anyPing), "--auto-approve")
	other, otherPublic := w.planKey("other.key")
	w.fails("admin", "RW7806", "apply", w.trio(anyPing), "--auto-approve", "--signer", "file:"+other)
	w.do("apply", w.trio(anyPing), "--auto-approve", "--signer", signer)
	if out, err := w.gateways[0].enroll(strings.TrimSpace(w.do("token", "create", "--gateway", "gw1")), "--plan-key", otherPublic); err == nil {
		t.Errorf("a gateway took another key than the one that it was given:\n%s", out)
	}
	must(t, os.RemoveAll(w.gateways[0].path("state")))
	w.do("member", "revoke", "gateway/gw1", "--auto-approve") // with nothing to sign: no revision has its key
	w.everybodyEnrolls("--plan-key", public)
	w.signs(signer)
	w.everybodyWell()
	w.everybodyReaches()

	// A change that breaks a link goes back by itself, since the way back was signed with it.
	w.nobodyGreets()
	out, code := w.ropeway("admin", "apply", w.trio(anyPing, region{n: 3, endpoint: "192.0.2.99"}), "--auto-approve", "--signer", signer)
	if code != 1 || !strings.Contains(out, "RW7304") {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	w.everybodyWell()
	w.everybodyReaches()
	w.do("sign", "--signer", signer, "--auto-approve")
	w.everybodyWell()

	// A gateway that is put out is no peer any more once that is signed.
	w.do("member", "revoke", "gateway/gw3", "--auto-approve", "--signer", signer)
	eventually(t, 30*time.Second, "gw1 does not know gw3 any more", func() bool { return len(strings.Split(strings.TrimSpace(w.gateways[0].dump()), "\n")) == 2 })

	// Whoever has the controller's machine, all its keys and its store puts his own key there and opens the fabric. No gateway follows.
	eventually(t, time.Minute, "gw1 is well", func() bool { return w.lines()["gw1"].State == "well" })
	followed := w.applied()["gw1"]
	w.controller.kill()
	half := w.path("data/authority/sign.pub")
	must(t, os.Remove(half))
	w.serve("--plan-key", otherPublic)
	must(t, os.Rename(w.path("person-admin"), w.path("person-honest")))
	must(t, os.MkdirAll(w.path("person-admin"), 0o700))
	honest, err := os.ReadFile(w.path("person-honest/member.json"))
	must(t, err)
	text := regexp.MustCompile(`"authority": *"[^"]*"`).ReplaceAllString(string(honest), `"authority": "`+base64Of(t, otherPublic)+`"`)
	must(t, os.WriteFile(w.path("person-admin/member.json"), []byte(text), 0o600))
	out, _ = w.ropeway("admin", "apply", w.trio(anyAll), "--auto-approve", "--at-once", "--signer", "file:"+other)
	w.do(append([]string{"apply", w.trio(anyAll), "--auto-approve", "--at-once", "--signer", "file:" + other}, vouches(out)...)...)
	log := w.gateways[0].path("agent.log")
	eventually(t, time.Minute, "the gateway refuses what he signed", func() bool {
		text, err := os.ReadFile(log)
		must(t, err)
		return strings.Contains(string(text), "a grant is not followed") && strings.Contains(string(text), "not signed by the authority")
	})
	if got := w.applied()["gw1"]; got != followed {
		t.Errorf("gw1 follows revision %d, and followed %d", got, followed)
	}
	if !w.gateways[0].reaches(w.gateways[1]) {
		t.Error("the fabric does not go on as it was")
	}
	// The honest administrator is told, and signs nothing.
	must(t, os.RemoveAll(w.path("person-admin")))
	must(t, os.Rename(w.path("person-honest"), w.path("person-admin")))
	out, _ = w.ropeway("admin", "sign", "--signer", signer, "--auto-approve")
	if !strings.Contains(out, "RW7807") || !strings.Contains(out, "is not signed with your key") {
		t.Errorf("the administrator does not see that somebody else signed:\n%s", out)
	}
}

func base64Of(t *testing.T, line string) string {
	t.Helper()
	public, err := plankey.Public([]byte(line))
	must(t, err)
	return base64.StdEncoding.EncodeToString(public)
}

// TestTheKeyIsTakenOut: the key of a controller moves to a person, and gateways that pinned it go on.
func TestTheKeyIsTakenOut(t *testing.T) {
	w := newWorld(t)
	w.serve()
	w.do("login", server, "--token", w.firstToken())
	w.do("apply", w.shop(pings), "--auto-approve")
	w.everybodyEnrolls()
	w.allWell()
	w.controller.kill()
	file := w.path("plans.key")
	if out, code := w.ropewayd("authority", "take-out", "--data", w.path("data"), "--out", file); code != 0 {
		t.Fatalf("take-out: %s", out)
	}
	if _, err := os.Stat(filepath.Join(w.path("data"), "authority", "sign.key")); !os.IsNotExist(err) {
		t.Errorf("the key is still there: %v", err)
	}
	w.serve()
	w.fails("admin", "RW7801", "apply", w.shop(nothing), "--auto-approve")
	w.signs("file:" + file)
	w.allWell()
	w.do("apply", w.shop(nothing), "--auto-approve", "--signer", "file:"+file)
	w.allWell()
	if w.gateways[0].reaches(w.gateways[1]) {
		t.Error("a ping passes that is no longer allowed")
	}
	note := w.path("person-admin/signed.json") // as if he had signed more than the controller shows
	text, err := os.ReadFile(note)
	must(t, err)
	must(t, os.WriteFile(note, regexp.MustCompile(`"number":\d+`).ReplaceAll(text, []byte(`"number":99`)), 0o600))
	w.fails("admin", "RW7808", "apply", w.shop(pings), "--auto-approve", "--signer", "file:"+file)
}
