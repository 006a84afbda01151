package authority

import (
	"errors"
	"fmt"
	"io/fs"

	"ropeway/internal/diag"
	"ropeway/internal/files"
)

// What can be wrong with an authority; see docs/errors.md.
const (
	codeExposed    diag.Code = "RW7101" // mode, owner or kind of file or directory
	codeDamaged    diag.Code = "RW7102" // content, or a file that is missing
	codeNoAccess   diag.Code = "RW7103" // cannot be opened or written
	codeForeign    diag.Code = "RW7104" // of another fabric
	codeInvalidNow diag.Code = "RW7105" // the clock, or ten years are over
	codeTaken      diag.Code = "RW7106" // a CA from elsewhere
)

// refused turns what package files refused into a problem, except that a file is missing.
func refused(dir string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, exposed := range []error{files.ErrExposed, files.ErrLink, files.ErrNotRegular, files.ErrNotDir} {
		if errors.Is(err, exposed) {
			return diag.Problem{Code: codeExposed, Severity: diag.Error, Subject: "authority", Message: err.Error(), Hint: hint(codeExposed)}
		}
	}
	return fmt.Errorf("%w: %w", problem(codeNoAccess, dir, "or a file in it cannot be used"), err)
}

func problem(code diag.Code, path, what string) diag.Problem {
	return diag.Problem{Code: code, Severity: diag.Error, Subject: "authority", Message: diag.Quote(path) + " " + what, Hint: hint(code)}
}

func hint(code diag.Code) string {
	return map[diag.Code]string{
		codeExposed:    "find out who could read it; then chown it to this user, chmod 0700 the directory and 0600 the file",
		codeDamaged:    "restore the directory as a whole from a backup",
		codeNoAccess:   "check the directory, its file system and the user that this program runs as",
		codeForeign:    "start this controller with the directory of its own fabric",
		codeInvalidNow: "set the clock",
		codeTaken:      "have a CA made for this fabric and nothing else, and name its certificate, those above it, and its key of mode 0600; nothing was taken",
	}[code]
}
