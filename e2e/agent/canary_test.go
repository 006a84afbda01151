package agent_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ropeway/internal/key"
	"ropeway/internal/plan"
)

// TestNoSecretGetsOut plants a private key and looks for it in everything that the agent says: log, device log, status, metrics,
// dry run, errors, and every file but its own.
func TestNoSecretGetsOut(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.gateways[0], w.gateways[1]
	text, err := os.ReadFile(a.path("state/keys/rw0.key"))
	must(t, err)
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	must(t, err)
	forms := map[string][]byte{"base64": text[:43], "hex": []byte(hex.EncodeToString(secret)), "raw": secret, "decimal": []byte(strings.Trim(fmt.Sprint(secret), "[]")),
		"part of base64": text[8:30]}
	look := func(where string, data []byte) {
		t.Helper()
		for form, canary := range forms {
			if bytes.Contains(bytes.ToLower(data), bytes.ToLower(canary)) {
				t.Errorf("the private key, as %s, is in %s", form, where)
			}
		}
	}
	if look("", nil); !bytes.Contains(text, forms["part of base64"]) {
		t.Fatal("the canary would not be found in its own file")
	}

	b.echo()
	a.write(w.plan(1, 2))
	out, errs, err := a.run(a.runArgs("--dry-run")...)
	must(t, err)
	look("the dry run", []byte(out+errs))
	logs := []*buffer{}
	for _, format := range []string{"text", "json"} {
		p := a.start("--log-format", format)
		logs = append(logs, p.log)
		a.waitHealthy()
		p.kill()
	}
	w.start()
	a.wg(t, remove(b))
	eventually(t, 20e9, "the hosts reach each other", func() bool { return a.reaches(b) })
	logs = append(logs, a.agent.log)
	for _, format := range []string{"table", "wide", "json", "yaml"} {
		out, errs, err := a.run("status", "--run", a.path("run"), "-o", format)
		if err != nil || len(out) < 50 {
			t.Errorf("status -o %s: %v, %s%s", format, err, out, errs)
		}
		if format == "table" {
			t.Logf("\n%s", out)
		}
		look("status -o "+format, []byte(out+errs))
	}
	_, body := a.get("/metrics")
	look("the metrics", []byte(body))
	_, body = a.get("/healthz")
	look("the health page", []byte(body))

	// Errors about the key: damaged, exposed, in the place of another input.
	a.agent.kill()
	keyFile := a.path("state/keys/rw0.key")
	for what, spoil := range map[string]func(){
		"exposed":      func() { must(t, os.Chmod(keyFile, 0o644)) },
		"damaged":      func() { must(t, os.WriteFile(keyFile, append(bytes.Clone(text[:43]), '!'), 0o600)) },
		"as a plan":    func() { a.writeRaw(text) },
		"in a plan":    func() { a.writeRaw(inPlan(t, w.plan(1, 2), string(text[:44]))) },
		"as last plan": func() { must(t, os.WriteFile(a.path("state/plan.json"), text, 0o600)) },
		"as public key, with its revision": func() {
			p := w.plan(1, 2)
			p.Devices[0].PublicKey = key.PublicFromBytes([32]byte(secret))
			a.write(p)
		},
		"as public key": func() { a.writeRaw(asPublicKey(t, w.plan(1, 2), string(text[:44]))) },
	} {
		spoil()
		out, errs, _ := a.run("key", "--state", a.path("state"))
		look("the errors of key, with the key "+what, []byte(out+errs))
		out, errs, _ = a.run(a.runArgs("--dry-run")...)
		if what == "as a plan" && errs == "" {
			t.Error("a key was taken for a plan")
		}
		look("the errors of a dry run, with the key "+what, []byte(out+errs))
		must(t, os.WriteFile(keyFile, text, 0o600))
		must(t, os.Chmod(keyFile, 0o600))
		a.write(w.plan(1, 2))
	}
	for _, l := range logs {
		look("the log", []byte(l.String()))
	}
	must(t, filepath.WalkDir(a.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || path == keyFile || path == a.path("state/plan.json") {
			return err // the last plan was overwritten by this test
		}
		data, err := os.ReadFile(path)
		look("file "+path, data)
		return err
	}))
	for _, pid := range a.processes() {
		for _, name := range []string{"cmdline", "environ"} {
			data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
			look(fmt.Sprintf("%s of process %d", name, pid), data)
		}
	}
}

// inPlan returns a plan with an additional field.
func inPlan(t *testing.T, p *plan.Gateway, value string) []byte {
	t.Helper()
	data, err := plan.Encode("test", p)
	must(t, err)
	var doc map[string]any
	must(t, json.Unmarshal(data, &doc))
	doc["gateway"].(map[string]any)["privateKey"] = value
	data, err = json.Marshal(doc)
	must(t, err)
	return data
}

// asPublicKey returns a plan in which somebody took the private key for the public one.
func asPublicKey(t *testing.T, p *plan.Gateway, value string) []byte {
	t.Helper()
	data, err := plan.Encode("test", p)
	must(t, err)
	return []byte(strings.ReplaceAll(string(data), p.Devices[0].PublicKey.String(), value))
}
