package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"ropeway/internal/backup"
	"ropeway/internal/fabric"
	"ropeway/internal/files"
	"ropeway/internal/keeper"
	"ropeway/internal/logs"
	"ropeway/internal/store"
)

func newRestoreCommand() *cobra.Command {
	var to backup.Target
	var key string
	cmd := &cobra.Command{
		Use:   "restore FILE --data DIR --fabric NAME --key FILE",
		Short: "Make a controller's directory out of a backup",
		Long: `Restore makes the directory of a controller out of a file of "ropeway backup": the same fabric, authority, members and tokens as when the backup was
made. What came later is lost: who enrolled since has to do so again, who was revoked since has to be revoked again, and a token that was used since
serves once more until it expires. ropewayd serve goes on from there as a single controller; others join it as new ones.

The restored fabric begins with a revision of its own, numbered far past those of the backup: gateways follow it whatever they got in between.`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&to.Dir, "data", "", "directory of the controller, without anything of another one")
	cmd.Flags().StringVar(&to.Fabric, "fabric", "", "name of the fabric")
	cmd.Flags().StringVar(&key, "key", "", "the key that the backup was encrypted for: a file, or its address in a KMS")
	_ = cmd.MarkFlagDirname("data")
	_ = cmd.MarkFlagFilename("key")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if to.Dir == "" || key == "" || !fabric.ValidName(to.Fabric) {
			return problem("RW6001", "restore needs a directory, the fabric's name, and the key of the backup", "usage: "+cmd.UseLine())
		}
		keys, err := readKeys(key)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(args[0], os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return problem("RW7230", err.Error(), "name a file of ropeway backup")
		}
		defer func() { _ = f.Close() }()
		if to.Log, err = logs.New(cmd.ErrOrStderr(), logs.Text); err != nil {
			return err
		}
		done, err := backup.Restore(cmd.Context(), f, keys, to)
		if err != nil {
			return notRestored(err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "Fabric %s is as it was at %s, at revision %d. It goes on with revision %d:\n\n  ropewayd serve --data %s --fabric %s …\n",
			done.Fabric, done.At.Format(time.RFC3339), done.Last, done.First, to.Dir, done.Fabric)
		return err
	}
	return cmd
}

// notRestored gives each reason its code.
func notRestored(err error) error {
	switch {
	case errors.Is(err, backup.ErrKey):
		return problem("RW7231", err.Error(), "use the key whose public half, or address, the controller was given with --backup-recipient")
	case errors.Is(err, backup.ErrDamaged), errors.Is(err, store.ErrDamaged):
		return problem("RW7232", err.Error(), "use another backup; nothing was restored")
	case errors.Is(err, backup.ErrForeign):
		return problem("RW7233", err.Error(), "name the fabric that it is of, and use a ropewayd as new as the one that made it")
	case errors.Is(err, backup.ErrOccupied):
		return problem("RW7234", err.Error(), "name an empty directory, or move away what is there")
	}
	return err
}

// maxKeys bounds a file of keys, in bytes.
const maxKeys = 64 << 10

// readKeys reads keys as age-keygen and backup-key write them, or takes the address of one in a KMS. No error repeats what the file holds.
func readKeys(path string) ([]age.Identity, error) {
	if strings.Contains(path, "://") {
		k, err := keeper.New(path)
		if err != nil {
			return nil, problem("RW6001", "--key: "+err.Error(), keyAddress)
		}
		return []age.Identity{k}, nil
	}
	text, err := files.Read(path, maxKeys)
	if err != nil {
		return nil, problem("RW7230", err.Error(), "name the file of the key")
	}
	defer clear(text)
	keys, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return nil, problem("RW7231", "the file holds no key of age", "name a file that ropewayd backup-key or age-keygen wrote")
	}
	return keys, nil
}

// keyAddress says how a key in a KMS is named.
const keyAddress = "as in awskms:///ARN, gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K, azurekeyvault://VAULT.vault.azure.net/keys/K or hashivault://KEY"

// recipients reads the public halves of keys, and addresses of keys in a KMS.
func recipients(texts []string) (out []age.Recipient, err error) {
	for _, text := range texts {
		if strings.Contains(text, "://") {
			k, err := keeper.New(text)
			if err != nil {
				return nil, problem("RW6001", "--backup-recipient: "+err.Error(), keyAddress)
			}
			out = append(out, k)
			continue
		}
		list, err := age.ParseRecipients(bytes.NewReader([]byte(text)))
		if err != nil {
			return nil, problem("RW6001", "--backup-recipient is not the public half of a key of age", "it begins with age1; ropewayd backup-key prints it")
		}
		out = append(out, list...)
	}
	return out, nil
}

func newBackupKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup-key FILE",
		Short: "Make a key that backups are encrypted for",
		Long: `Backup-key makes a key in a new file and prints its public half, which controllers get: ropewayd serve --backup-recipient age1…. The file restores a
controller (ropewayd restore --key FILE); whoever has it and a backup has the whole fabric. Keep it where no controller is. It is a key of age
(age-encryption.org), so age-keygen and age can take the place of these commands.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := age.GenerateX25519Identity()
			if err != nil {
				return fmt.Errorf("make a key: %w", err)
			}
			text := fmt.Appendf(nil, "# public key: %s\n%s\n", k.Recipient(), k)
			defer clear(text)
			err = files.Create(args[0], text, 0o600)
			if errors.Is(err, fs.ErrExist) {
				return problem("RW7234", err.Error(), "name a file that is not there yet")
			}
			if err != nil {
				return problem("RW7230", err.Error(), "name a file that can be written")
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), k.Recipient())
			return err
		},
	}
}
