package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"startup-bundle/internal/terminal"
	"startup-bundle/packer/collection"
)

func (p *program) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIR]",
		Short: "Begin: make a personality and a first module of your own",
		Long: `Init makes personality.yaml and the module modules/hello in DIR, or here. Both pass
lint and can be rehearsed at once; the comments in them say what to change. It
replaces nothing.`,
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			made, err := collection.Init(dir)
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%w: startup-packer init is for a folder without one", err)
			}
			if err != nil {
				return err
			}
			for _, path := range made {
				fmt.Fprintln(p.stdout, path)
			}
			p.next("startup-packer rehearse %s", terminal.Quote(filepath.Join(dir, collection.PersonalityFile)))
			return nil
		},
	}
}
