package main

import (
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"ropeway/internal/adopt"
	"ropeway/internal/console"
	"ropeway/internal/diag"
	"ropeway/internal/fabric"
	"ropeway/internal/files"
)

// maxConfig is how much of a configuration is read, in bytes: a dump of 2,000 peers with ten prefixes each is some 800 KB.
const maxConfig = 4 << 20

func newImportCommand() *cobra.Command {
	var name, out string
	cmd := &cobra.Command{
		Use:   "import [NAME=]FILE ...",
		Short: "Make a fabric file out of WireGuard configurations",
		Long: `Import reads what there is of a WireGuard network and writes a fabric file that says the same, as far as the configurations tell: files of wg-quick,
and what "wg showconf DEVICE" or, better, "wg show all dump" prints on a machine. Give one for each machine; NAME is what the machine shall be called,
the name of the file unless you say. Several of one name are several devices of one machine.

Peers are matched by public key. A prefix belongs to the machine that others send it to, unless that one sends it on. Endpoints, ports, keepalives
and MTUs are taken over. What is not told, or not taken over, is a warning, and a comment in the file. Private keys are read for their public
halves, and are in no output.`,
		Example: `  ropeway import hub=hub/wg0.conf office=office/wg0.conf --name acme --out acme.yaml
  ssh root@hub wg show all dump >hub.dump && ropeway import hub.dump`,
		Args: cobra.MinimumNArgs(1),
	}
	cmd.Flags().StringVar(&name, "name", "imported", "name of the fabric")
	cmd.Flags().StringVar(&out, "out", "", "write the file here, where there must be none yet (default: standard output)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !fabric.ValidName(name) {
			return problem("RW6001", "--name "+diag.Quote(name), "it is not a name", "a name has lower-case letters, digits and hyphens")
		}
		text, problems, err := importAll(name, args)
		if err != nil {
			return err
		}
		if text == nil {
			return problems
		}
		w := cmd.ErrOrStderr()
		if err := console.Print(w, styleOf(cmd, w), problems); err != nil {
			return err
		}
		if out == "" {
			return say(cmd, "%s", text)
		}
		if err := files.Create(out, text, 0o644); err != nil {
			return unwritable("fabric file", err)
		}
		return say(cmd, "%s holds the fabric. Next: read it through, then ropeway plan %[1]s\n", console.Visible(out))
	}
	return cmd
}

// importAll reads every configuration, and makes a fabric file of them.
func importAll(name string, args []string) ([]byte, diag.List, error) {
	var configs []adopt.Config
	for _, arg := range args {
		machine, file, named := strings.Cut(arg, "=")
		if !named {
			machine, file = machineName(arg), arg
		}
		if !fabric.ValidName(machine) {
			return nil, nil, problem("RW6001", "configuration "+diag.Quote(arg), "the machine has no name", "write NAME=FILE with a name of lower-case letters, digits and hyphens")
		}
		data, err := files.Read(file, maxConfig)
		if err != nil {
			return nil, nil, unreadable("configuration", err)
		}
		list, err := adopt.Parse(machine, file, data)
		clear(data) // a private key may be in it
		if err != nil {
			return nil, nil, err
		}
		configs = append(configs, list...)
	}
	text, problems := adopt.Make(name, configs)
	return text, problems, nil
}

var unfit = regexp.MustCompile(`[^a-z0-9]+`)

// machineName makes a name out of that of a file.
func machineName(file string) string {
	base := filepath.Base(file)
	base = strings.TrimSuffix(base, filepath.Ext(base))
	return strings.Trim(unfit.ReplaceAllString(strings.ToLower(base), "-"), "-")
}
