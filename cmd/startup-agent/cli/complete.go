package cli

import (
	"github.com/spf13/cobra"

	"startup-bundle/agent/record"
)

// moduleNames returns the modules of the last run, in order, from the copy of the
// record that every user may read; none if there is no such file.
func (p *program) moduleNames() []string {
	paths, err := p.paths()
	if err != nil {
		return nil
	}
	run, err := record.Load(paths.Status())
	if err != nil || run == nil {
		return nil
	}
	names := make([]string, len(run.Modules))
	for i, m := range run.Modules {
		names[i] = m.Name
	}
	return names
}

// completeModule completes the only argument of a command.
func (p *program) completeModule(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return p.moduleNames(), cobra.ShellCompDirectiveNoFileComp
}
