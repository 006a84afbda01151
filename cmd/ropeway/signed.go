package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"ropeway/internal/files"
	"ropeway/internal/plankey"
)

// signedNote is what this user remembers of what he signed, beside his membership: a controller that was taken over could show him an older revision as
// the newest, and a peer that has left since would not be seen to come back.
type signedNote struct {
	Version string `json:"version"` // "ropeway/v1"
	Key     string `json:"key"`     // fingerprint of the key that signed
	Number  uint64 `json:"number"`  // the highest revision
}

const (
	signedVersion = "ropeway/v1"
	signedMost    = 4 << 10 // bytes
)

func signedFile() (string, error) {
	path, err := memberFile()
	return filepath.Join(filepath.Dir(path), "signed.json"), err
}

// lastSigned returns the highest revision that this user signed with the key of this fabric, 0 for none.
func (r *remote) lastSigned() (uint64, error) {
	path, err := signedFile()
	if err != nil {
		return 0, err
	}
	text, err := files.Read(path, signedMost)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	n := signedNote{}
	if err == nil {
		err = json.Unmarshal(text, &n)
	}
	if err == nil && n.Version != signedVersion {
		err = errors.New("it is of another version")
	}
	if err != nil {
		return 0, unreadable("note of what was signed", err)
	}
	if n.Key != plankey.Fingerprint(r.member.Authority) {
		return 0, nil
	}
	return n.Number, nil
}

// notBehind refuses a newest revision that is older than what was signed.
func (r *remote) notBehind(newest uint64) error {
	last, err := r.lastSigned()
	if err != nil || newest >= last {
		return err
	}
	path, _ := signedFile()
	return problem("RW7808", "controller "+r.server, fmt.Sprintf("it shows revision %d as the newest, and you signed revision %d", newest, last),
		"if it was restored from a backup, remove "+path+" and look at all of the difference; if it was not, find out who has taken it over")
}

// noteSigned remembers what was signed.
func (r *remote) noteSigned(number uint64) error {
	path, err := signedFile()
	if err != nil {
		return err
	}
	text, err := json.Marshal(signedNote{signedVersion, plankey.Fingerprint(r.member.Authority), number})
	if err != nil {
		return err
	}
	if err := files.Replace(path, append(text, '\n'), 0o600); err != nil {
		return unwritable("note of what was signed", err)
	}
	return nil
}
