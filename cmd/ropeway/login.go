package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ropeway/internal/files"
	"ropeway/internal/member"
	"ropeway/internal/plankey"
	"ropeway/internal/token"
)

func newLoginCommand() *cobra.Command {
	var text, planKey string
	cmd := &cobra.Command{
		Use:   "login URL --token TOKEN",
		Short: "Become somebody to a controller",
		Long: `Login redeems a token, which serves once, and keeps what it gives (a key that was made here, and a certificate for it) in
~/.config/ropeway/member.json, readable by you alone. ROPEWAY_CONFIG names another directory. The token says whom to trust, so no certificate has to be
installed first. "--token -" reads it from standard input, where no list of processes shows it.`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&text, "token", "", "the token, or - for standard input")
	cmd.Flags().StringVar(&planKey, "plan-key", "", "public half of the key that signs plans, where you know it: nobody else's is believed")
	_ = cmd.MarkFlagRequired("token")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, err := readToken(cmd, text)
		if err != nil {
			return err
		}
		path, err := memberFile()
		if err != nil {
			return err
		}
		if err := files.SecretDir(filepath.Dir(path)); err != nil {
			return unwritable("directory", err)
		}
		with, err := beside(planKey)
		if err != nil {
			return err
		}
		m, err := member.Enroll(cmd.Context(), path, args[0], t, with)
		if err != nil {
			return problem("RW7005", "login", err.Error(), "is the controller there, and the token unused and not too old?")
		}
		return say(cmd, "You are %s of fabric %s.\n", m.Identity, m.Fabric)
	}
	return cmd
}

// beside reads a public key that was given as text, if there is one.
func beside(planKey string) (b member.Beside, err error) {
	if planKey == "" {
		return b, nil
	}
	if b.PlanKey, err = plankey.Public([]byte(planKey)); err != nil {
		return b, problem("RW6001", "--plan-key", err.Error(), "give the line as ssh-add -L prints it")
	}
	return b, nil
}

// readToken takes a token from the command line or from standard input.
func readToken(cmd *cobra.Command, text string) (token.Token, error) {
	if text == "-" {
		if _, err := fmt.Fscan(cmd.InOrStdin(), &text); err != nil {
			return token.Token{}, problem("RW6002", "standard input", "holds no token", "give the token alone, as it was printed")
		}
	}
	t, err := token.Parse(text)
	if err != nil {
		return token.Token{}, problem("RW7005", "token", err.Error(), "copy it whole")
	}
	return t, nil
}

// memberFile returns where the membership of this user stands, or would.
func memberFile() (string, error) {
	dir := os.Getenv("ROPEWAY_CONFIG")
	if dir == "" {
		config, err := os.UserConfigDir()
		if err != nil {
			return "", problem("RW6002", "configuration", err.Error(), "set ROPEWAY_CONFIG to a directory")
		}
		dir = filepath.Join(config, "ropeway")
	}
	return filepath.Join(dir, "member.json"), nil
}

// loadMember returns who this user is, with a certificate that is good.
func loadMember(cmd *cobra.Command) (*member.Member, error) {
	path, err := memberFile()
	if err != nil {
		return nil, err
	}
	m, err := member.Load(path)
	if errors.Is(err, member.ErrMissing) {
		return nil, problem("RW7006", "login", "you have not logged in to a controller", "ropeway login URL --token TOKEN")
	}
	if err != nil {
		return nil, unreadable("membership", err)
	}
	m.Settle(cmd.Context())
	return m, m.Refresh(cmd.Context(), path)
}

// keeper returns the name of the fabric that this user's controller keeps, and "" where he belongs to none.
func keeper() string {
	path, err := memberFile()
	if err != nil {
		return ""
	}
	m, err := member.Load(path)
	if err != nil {
		return "" // whoever needs the controller hears why it cannot be had
	}
	return m.Fabric
}
