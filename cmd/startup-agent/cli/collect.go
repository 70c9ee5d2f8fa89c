package cli

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"startup-bundle/agent"
	"startup-bundle/agent/collect"
	"startup-bundle/agent/instance"
	"startup-bundle/internal/files"
	"startup-bundle/internal/version"
)

// metadataTime is how long the archive waits for instance metadata.
const metadataTime = 3 * time.Second

func (p *program) collectCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "collect",
		Short: "Put all that is known of the last run into one file, for a bug report",
		Long: `Collect makes a .tar.gz of the status, the record, the logs, the timeline, and what
systemd says of the unit. The userdata, the key and the bundle are not in it;
options marked secret, the userdata's secrets, longer values of its env, and what
looks like a secret are replaced. A module's log from before the present bundle is
left out, because its secrets are not known any more. What modules printed since is
in it: read it before you give it away.`,
		RunE: func(c *cobra.Command, _ []string) error {
			now := time.Now()
			if output == "" {
				output = "startup-agent-" + now.UTC().Format("20060102-150405") + ".tar.gz"
			}
			if _, err := os.Lstat(output); err == nil {
				return p.failed(agent.CodeOther, &fs.PathError{Op: "make", Path: output, Err: syscall.EEXIST})
			}
			o := collect.Options{Root: p.root, Version: version.String(), Now: now}
			if filepath.Clean(p.root) == "/" || os.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT") != "" {
				o.Userdata = instance.New(instance.Config{Logger: zap.NewNop(), Deadline: metadataTime}).Userdata
			}
			var got collect.Contents
			err := p.produce(c.Context(), output, 0o600, (*files.File).CommitNew, func(ctx context.Context, w io.Writer) (err error) {
				got, err = collect.Write(ctx, w, o)
				return err
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(p.stdout, "%s: %d files\n", output, len(got.Files))
			if len(got.Left) > 0 {
				fmt.Fprintf(p.stdout, "Left out, because they may hold secrets of an earlier bundle, which are not known any\nmore: %s\n", strings.Join(got.Left, ", "))
			}
			if len(got.Denied) > 0 {
				fmt.Fprintf(p.stderr, "startup-agent: missing, for only root may read it: %s; as root: sudo startup-agent collect\n", strings.Join(got.Denied, ", "))
			}
			fmt.Fprintln(p.stdout, "What the modules printed is in it. What looks like a secret was replaced, but")
			fmt.Fprintln(p.stdout, "only who wrote the modules knows what else is one: read it before you send it.")
			return nil
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "write to this `FILE`, which must not be there (default startup-agent-TIME.tar.gz)")
	return c
}
