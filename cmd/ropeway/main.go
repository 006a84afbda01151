//go:generate go test -run TestCommandsPage . -update

// Command ropeway compiles, proves, exports and rehearses WireGuard fabrics from one file.
//
// This package wires children to parents and speaks to people; whatever is worth testing by itself lives below internal. There
// is a file per command, root.go puts them together, source.go reads what they all read.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"ropeway/internal/console"
	"ropeway/internal/diag"
)

// What a command exits with. Zero: all is well, or there is nothing to change.
const (
	exitError   exitCode = 1 // something is wrong with the input, or could not be done
	exitChanges exitCode = 2 // plan: there are changes
	exitProof   exitCode = 3 // something that was to hold does not
)

// An exitCode ends a command that has already said all there is to say.
type exitCode int

// Error implements error.
func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	root := newRootCommand()
	cmd, err := root.ExecuteContextC(ctx)
	return int(report(cmd, os.Stderr, err))
}

// report prints an error and returns what the process exits with.
func report(cmd *cobra.Command, w io.Writer, err error) exitCode {
	if err == nil {
		return 0
	}
	var code exitCode
	if errors.As(err, &code) {
		return code
	}
	style := styleOf(cmd, w)
	var list diag.List
	var problem diag.Problem
	switch {
	case errors.As(err, &list):
	case errors.As(err, &problem):
		list = diag.List{problem}
	default:
		list = diag.List{{Code: "RW6000", Severity: diag.Error, Message: err.Error()}}
	}
	_ = console.Print(w, style, list) // where standard error is gone, the exit code still tells
	return exitError
}

// styleOf returns the style for a stream of a command, as --color asks.
func styleOf(cmd *cobra.Command, w io.Writer) console.Style {
	when := console.Auto
	if flag := cmd.Root().PersistentFlags().Lookup("color"); flag != nil {
		when = console.When(flag.Value.String())
	}
	return console.StyleFor(when, w, os.Getenv)
}

// problem makes an error of the command line.
func problem(code diag.Code, subject, message, hint string) diag.Problem {
	return diag.Problem{Code: code, Severity: diag.Error, Subject: subject, Message: message, Hint: hint}
}

// warning makes a problem that stops nothing.
func warning(code diag.Code, subject, message, hint string) diag.Problem {
	return diag.Problem{Code: code, Severity: diag.Warning, Subject: subject, Message: message, Hint: hint}
}
