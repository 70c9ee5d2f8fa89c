package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// completeBundle completes the first argument with files called *.bundle, and a second
// one with folders if the command takes a folder.
func completeBundle(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	switch {
	case len(args) == 0:
		return []string{"bundle"}, cobra.ShellCompDirectiveFilterFileExt
	case len(args) == 1 && strings.Contains(c.Use, " DIR"):
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}
