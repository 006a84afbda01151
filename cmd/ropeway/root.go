package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ropeway/internal/console"
)

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "ropeway",
		Short: "Build, prove and rehearse WireGuard fabrics from one file",
		Long: `Ropeway takes one file that says what should reach what across regions and sites. It compiles the file to a plan for every
gateway, proves what the plans do with every packet, and builds the whole fabric on one machine for you to try.

Exit codes: 0 all is well; 1 an error; 2 "plan" found changes; 3 something that was to hold does not.`,
		Example: `  ropeway init fabric.yaml       # a starter to edit
  ropeway validate fabric.yaml   # is the file right?
  ropeway plan fabric.yaml       # what would change, and is it proven?
  ropeway lab up fabric.yaml     # the whole fabric on this machine, as root`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	when := console.Auto
	root.PersistentFlags().Var(&when, "color", "colour the output: auto, always or never")
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return problem("RW6001", "", err.Error(), fmt.Sprintf("%s --help lists the flags", cmd.CommandPath()))
	})
	for _, group := range []struct{ id, title string }{
		{"file", "The fabric file:"}, {"fabric", "Plan and proof:"}, {"hand", "Hand over:"}, {"controller", "With a controller:"}, {"lab", "Try it:"},
	} {
		root.AddGroup(&cobra.Group{ID: group.id, Title: group.title})
	}
	addGroup(root, "file", newInitCommand(), newImportCommand(), newSchemaCommand(), newValidateCommand())
	addGroup(root, "fabric", newPlanCommand(), newVerifyCommand(), newTraceCommand())
	addGroup(root, "hand", newKeysCommand(), newExportCommand())
	addGroup(root, "controller", newLoginCommand(), newTokenCommand(), newMemberCommand(), newApplyCommand(), newRolloutCommand(), newRollbackCommand(), newSignCommand(), newHistoryCommand(), newShowCommand(),
		newDiffCommand(), newStatusCommand(), newGetCommand(), newDescribeCommand(), newDriftCommand(), newGatewayCommand(), newClusterCommand(), newBackupCommand(), newAuditCommand())
	addGroup(root, "lab", newLabCommand(), newDrillCommand())
	root.AddCommand(newVersionCommand())
	for _, c := range root.Commands() {
		if c.GroupID == "controller" || c.Name() == "plan" {
			speakInLab(c)
		}
	}
	explainArguments(root)
	return root
}

func addGroup(root *cobra.Command, id string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = id
		root.AddCommand(c)
	}
}

// explainArguments gives every complaint about arguments its code and the line that says what is wanted.
func explainArguments(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return problem("RW6001", "", err.Error(), "usage: "+c.UseLine())
			}
			return nil
		}
	}
	for _, child := range cmd.Commands() {
		explainArguments(child)
	}
}

// outputFlag adds -o to a command; the first format is the default.
func outputFlag(cmd *cobra.Command, formats ...console.Format) *console.Choice {
	choice := console.Choose(formats...)
	cmd.Flags().VarP(choice, "output", "o", "output format: "+choice.Usage())
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = string(f)
	}
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	return choice
}
