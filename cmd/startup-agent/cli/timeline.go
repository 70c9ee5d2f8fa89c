package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"startup-bundle/agent"
	"startup-bundle/agent/journal"
	"startup-bundle/agent/screen"
	"startup-bundle/agent/timeline"
)

func (p *program) timelineCommand() *cobra.Command {
	var svg string
	c := &cobra.Command{
		Use:   "timeline",
		Short: "Show where the time of the last run went",
		Long: `Timeline shows the last run as a chart: the machine's boot before it, each phase,
fetch and unpack (which overlap), each start of a module. A retry is a cross on
its bar.

Its exit code is 0, or 4 when there is no log.`,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := p.timeline()
			if errors.Is(err, journal.ErrNoLog) {
				return p.failed(agent.CodeNoRecord, err)
			}
			if err == nil && svg != "" {
				err = p.writeFile(c.Context(), svg, 0o644, t.SVG)
			} else if err == nil {
				err = t.Text(p.stdout)
			}
			if err != nil {
				return p.failed(agent.CodeOther, err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&svg, "svg", "", "write a picture to this `FILE` instead")
	return c
}

func (p *program) timeline() (*timeline.Timeline, error) {
	r, err := journal.OpenReader(agent.Paths{Root: p.root}.Log(), journal.LastRun)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	t, err := timeline.Read(r)
	if now := time.Now(); err == nil && screen.Look(p.root, now).Alive {
		t.GoesOn(now, journal.Uptime())
	}
	return t, err
}
