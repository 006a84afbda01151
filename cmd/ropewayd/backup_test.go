package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/member"
)

// kms is as much of AWS KMS as a backup needs (KMS API reference: Encrypt, Decrypt): it keeps what it is given, and hands out where.
type kms struct{ kept [][]byte }

func (k *kms) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var ask struct{ Plaintext, CiphertextBlob []byte }
	body, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(body, &ask)
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".Encrypt") {
		k.kept = append(k.kept, ask.Plaintext)
		_ = json.NewEncoder(w).Encode(map[string][]byte{"CiphertextBlob": {byte(len(k.kept))}})
		return
	}
	if len(ask.CiphertextBlob) != 1 || int(ask.CiphertextBlob[0]) > len(k.kept) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"InvalidCiphertextException"}`)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string][]byte{"Plaintext": k.kept[ask.CiphertextBlob[0]-1]})
}

// backUp asks a controller for a backup.
func backUp(t *testing.T, m *member.Member, server string) ([]byte, error) {
	t.Helper()
	client, err := m.HTTP(server)
	must(t, err)
	defer client.CloseIdleConnections()
	stream, err := ropewayv1connect.NewClusterServiceClient(client, server).Backup(t.Context(), &ropewayv1.BackupRequest{})
	must(t, err)
	defer stream.Close()
	var out bytes.Buffer
	for stream.Receive() {
		_, _ = out.Write(stream.Msg().GetData())
	}
	return out.Bytes(), stream.Err()
}

// A controller without its KMS starts and serves; it makes no backup. One that was made is restored with the same address, and with no other.
func TestABackupForAKMS(t *testing.T) {
	server := httptest.NewServer(new(kms))
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_KMS": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "canary", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": filepath.Join(t.TempDir(), "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"), "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
	const address = "awskms://alias/backups?region=eu-west-1"
	c := serve(t, filepath.Join(t.TempDir(), "data"), "--backup-recipient", address)
	defer c.stop()
	m := c.login(t)
	if _, err := backUp(t, m, c.url()); err == nil || !strings.Contains(err.Error(), "RW7235") {
		t.Errorf("a backup without the KMS: %v", err)
	}
	t.Setenv("AWS_ENDPOINT_URL_KMS", server.URL)
	file, err := backUp(t, m, c.url())
	must(t, err)
	path := filepath.Join(t.TempDir(), "backup")
	must(t, os.WriteFile(path, file, 0o600))

	restore := func(key string) string {
		cmd := newRootCommand()
		cmd.SetArgs([]string{"restore", path, "--data", filepath.Join(t.TempDir(), "data"), "--fabric", "shop", "--key", key})
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			return coded(err).Error()
		}
		return ""
	}
	if said := restore(address); said != "" {
		t.Errorf("not restored: %s", said)
	}
	for key, code := range map[string]string{"gcpkms": "RW7230", "https://x": "RW6001", "base64key://c2VjcmV0": "RW6001"} {
		if said := restore(key); !strings.Contains(said, code) || strings.Contains(said, "c2VjcmV0") {
			t.Errorf("%s: %s", key, said)
		}
	}
	must(t, os.WriteFile(path, bytes.Replace(file, []byte("ropeway-kms awskms\nAQ"), []byte("ropeway-kms awskms\nCQ"), 1), 0o600))
	if said := restore(address); !strings.Contains(said, "RW7231") {
		t.Errorf("a changed stanza: %s", said)
	}
	must(t, os.WriteFile(path, file, 0o600))
	t.Setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")
	if said := restore(address); !strings.Contains(said, "RW7235") {
		t.Errorf("the KMS is away: %s", said)
	}
}
