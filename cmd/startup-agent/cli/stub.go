package cli

import "github.com/spf13/cobra"

func (p *program) timelineCommand() *cobra.Command { return &cobra.Command{Use: "timeline"} }
func (p *program) collectCommand() *cobra.Command { return &cobra.Command{Use: "collect"} }
