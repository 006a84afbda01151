package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"ropeway/internal/console"
	"ropeway/internal/diag"
	"ropeway/internal/lab"
)

// overLab lets a command ask the gateways of a lab themselves, as root does on each of them: no controller has part in it.
func overLab(cmd *cobra.Command) {
	cmd.Flags().String("lab", "", "ask the gateways of this `lab` on this machine: a name or a fabric file; the only one if neither is said")
	cmd.Flags().Lookup("lab").NoOptDefVal = onlyLab
	_ = cmd.RegisterFlagCompletionFunc("lab", completeLabs)
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error { return nil } // not on the operator's machine, as the parent would
}

// theLab returns the lab that overLab's flag means. instead is what to run on a gateway where there is none.
func theLab(cmd *cobra.Command, instead string) (*lab.Lab, error) {
	name, _ := cmd.Flags().GetString("lab")
	switch name {
	case "":
		return nil, problem("RW6017", "", "gateways can be asked that from here in a lab only, and controllers do not pass it on", "on the gateway, run: "+instead+"; of a lab, say --lab")
	case onlyLab:
		return openLab(cmd, nil)
	}
	return openLab(cmd, []string{name})
}

// askEach runs ropeway-gateway on every gateway of a lab and hands on each answer, decoded. A gateway that does not answer is told of on standard error.
func askEach[T any](cmd *cobra.Command, l *lab.Lab, each func(gateway string, answer T), args ...string) error {
	var silent diag.List
	answers := l.AskGateways(cmd.Context(), append(args, "-o", "json")...)
	for _, a := range answers {
		var value T
		err := a.Err
		if err == nil {
			err = json.Unmarshal([]byte(a.Text), &value)
		}
		if err != nil {
			silent = append(silent, warning("RW5010", "gateway "+a.Gateway, diag.Quote(err.Error()), "its log is in "+l.Logs()))
			continue
		}
		each(a.Gateway, value)
	}
	if len(silent) > 0 && len(silent) == len(answers) {
		silent[0].Severity = diag.Error
		return silent[0]
	}
	out := cmd.ErrOrStderr()
	if err := console.Print(out, styleOf(cmd, out), silent); err != nil {
		return fmt.Errorf("write who does not answer: %w", err)
	}
	return nil
}
