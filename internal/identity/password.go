package identity

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/files"
)

const codePassword diag.Code = "RW4017" // a password is missing, or is none that can be used

// maxPassword is how long a TCP MD5 password may be, in bytes (TCP_MD5SIG_MAXKEYLEN, linux/tcp.h).
const maxPassword = 80

// PasswordPath returns where the password of that name stands.
func (s Store) PasswordPath(name string) string { return filepath.Join(s.dir, name+".password") }

// Password returns the password of that name, which a person has put beside the keys as DIR/NAME.password. What is no password that every routing
// daemon takes alike is refused, and no error repeats it.
func (s Store) Password(name string) (string, error) {
	if !fabric.ValidName(name) {
		return "", fmt.Errorf("load a password: %s is no name for one", diag.Quote(name))
	}
	dir, err := files.OpenSecrets(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", s.noPassword(name, "is not there")
	}
	if err != nil {
		return "", s.refused(err)
	}
	defer func() { _ = dir.Close() }()
	data, err := dir.Read(name+".password", maxPassword+2) // and the end of its line
	defer clear(data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", s.noPassword(name, "is not there")
	case errors.Is(err, files.ErrTooLarge):
		return "", s.noPassword(name, "is too long")
	case err != nil:
		return "", s.refused(err)
	}
	password := bytes.TrimRight(data, "\r\n")
	if len(password) == 0 || len(password) > maxPassword || bytes.ContainsFunc(password, unfit) {
		return "", s.noPassword(name, "does not hold a password that can be used")
	}
	return string(password), nil
}

// unfit tells what no password may hold: what ends a word, a string or a line in the configuration of a routing daemon.
func unfit(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }

func (s Store) noPassword(name, what string) error {
	return diag.Problem{Code: codePassword, Severity: diag.Error, Subject: "password " + name, Message: diag.Quote(s.PasswordPath(name)) + " " + what,
		Hint: fmt.Sprintf("put it there with mode 0600: 1 to %d printable characters of ASCII on one line, without space, quote and backslash", maxPassword)}
}
