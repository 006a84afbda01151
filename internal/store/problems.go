package store

import (
	"errors"

	"ropeway/internal/diag"
)

// What can be wrong with a store; see docs/errors.md.
const (
	codeFull        diag.Code = "RW7200"
	codeUnavailable diag.Code = "RW7201"
	codeInUse       diag.Code = "RW7202"
	codeDamaged     diag.Code = "RW7203"
	codeTooLarge    diag.Code = "RW7204"
	codeQuorum      diag.Code = "RW7205"
	codeJoining     diag.Code = "RW7206"
	codeRemoved     diag.Code = "RW7207"
	codeForeign     diag.Code = "RW7208"
	codeURL         diag.Code = "RW7209"
)

// Explained returns an error of the store's as the problem that a person reads, and any other one as it is.
func Explained(err error) error {
	for _, known := range []struct {
		err  error
		code diag.Code
		hint string
	}{
		{ErrFull, codeFull, "gateways go on, and removing things still works; free space on the controllers, or start them with a larger --quota"},
		{ErrRemoved, codeRemoved, "join the cluster again with an empty directory and a token of ropeway token create --controller"},
		{ErrForeign, codeForeign, "give every controller of a fabric the same authority: let it join, or copy the directory"},
		{ErrURL, codeURL, "name it as https://HOST:PORT"},
		{ErrQuorum, codeQuorum, "bring the other controllers back first, or add one; ropeway cluster status shows them"},
		{ErrJoining, codeJoining, "wait until it has, or remove it: ropeway cluster status shows it"},
		{ErrUnavailable, codeUnavailable, "bring a majority of the controllers back; gateways go on as they are"},
		{ErrInUse, codeInUse, "end the other ropewayd, or give this one another --data"},
		{ErrDamaged, codeDamaged, "let this controller join anew with an empty directory; if all say so, restore a backup"},
		{ErrTooLarge, codeTooLarge, "make the file smaller: 64 MiB is the most"},
	} {
		var p diag.Problem
		if errors.Is(err, known.err) && !errors.As(err, &p) {
			return &explained{diag.Problem{Code: known.code, Severity: diag.Error, Subject: "store", Message: err.Error(), Hint: known.hint}, err}
		}
	}
	return err
}

// explained is a problem that remembers which error it was.
type explained struct {
	diag.Problem
	err error
}

// Unwrap lets both be found.
func (e *explained) Unwrap() []error { return []error{e.Problem, e.err} }
