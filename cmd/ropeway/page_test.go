package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write docs/commands.md")

const commandsPage = "../../docs/commands.md"

// docs/commands.md is made of what the commands say of themselves.
func TestCommandsPage(t *testing.T) {
	root := newRootCommand()
	var b strings.Builder
	b.WriteString("# The commands of `ropeway`\n\nMade from the program; `make generate` writes it again. `ropeway completion --help` tells how to have them completed in a shell.\n\n")
	fmt.Fprintf(&b, "%s\n\nEvery command takes `--color auto|always|never`; `NO_COLOR` turns colour off, too. Problems go to standard error, a line each, with a code that [errors.md](errors.md) explains.\n", root.Long)
	describe(&b, root)
	if *update {
		if err := os.WriteFile(commandsPage, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(commandsPage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.String(), string(got)); diff != "" {
		t.Errorf("docs/commands.md is stale; run: go generate ./cmd/ropeway\n%s", diff)
	}
}

func describe(b *strings.Builder, parent *cobra.Command) {
	for _, cmd := range parent.Commands() {
		if cmd.Hidden || cmd.Name() == "help" || cmd.Name() == "completion" {
			continue
		}
		if cmd.HasSubCommands() && !strings.Contains(cmd.Use, " ") { // a heading for its children
			fmt.Fprintf(b, "\n## %s\n\n%s\n", cmd.CommandPath(), description(cmd))
			describe(b, cmd)
			continue
		}
		level := "##"
		if parent.HasParent() {
			level = "###"
		}
		fmt.Fprintf(b, "\n%s %s\n\n%s\n\n```\n%s\n", level, cmd.CommandPath(), description(cmd), cmd.UseLine())
		if flags := cmd.LocalFlags().FlagUsages(); flags != "" {
			fmt.Fprintf(b, "\n%s", flags)
		}
		if cmd.Example != "" {
			fmt.Fprintf(b, "\nFor example:\n%s\n", cmd.Example)
		}
		b.WriteString("```\n")
	}
}

func description(cmd *cobra.Command) string {
	if cmd.Long != "" {
		return cmd.Long
	}
	return cmd.Short + "."
}
