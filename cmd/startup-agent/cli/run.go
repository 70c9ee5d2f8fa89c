package cli

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"startup-bundle/agent"
	"startup-bundle/agent/aws"
	"startup-bundle/agent/fetch"
	"startup-bundle/agent/instance"
	"startup-bundle/agent/journal"
	"startup-bundle/agent/transport"
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/cmdline"
	"startup-bundle/internal/secret"
	"startup-bundle/internal/version"
)

// exitCodes is the table of the help, of docs/operations.md, and of agent.Code.
const exitCodes = `    0  done, or nothing to do        13  open: wrong key, tampered, truncated
    1  other                         14  unpack: the archive is refused
    2  usage                         15  a module failed
   10  userdata                      16  record or disk
   11  key                           17  the run's timeout passed
   12  fetch                        130  interrupted`

func (p *program) runCommand() *cobra.Command {
	var userdata, caFile, console string
	var limits bundle.Limits
	var debug, force bool
	var only string
	var patience time.Duration
	c := &cobra.Command{
		Use:   "run",
		Short: "Take on the personality that the userdata names; this is what boots the instance",
		Long: `Run reads the userdata, fetches and opens the start-up bundle named there, and
runs its modules in order. It is done once for each instance and userdata; a run
that failed or was cut off goes on with the first module that has not succeeded.`,
		Annotations: map[string]string{cmdline.ExitStatus: exitCodes},
		RunE: func(c *cobra.Command, _ []string) error {
			paths, err := p.paths()
			if err != nil {
				return err
			}
			level := zapcore.InfoLevel
			if debug {
				level = zapcore.DebugLevel
			}
			agent.Outlive()
			terminal := journal.NewTerminal(p.stderr, p.priorities)
			defer terminal.Close()
			log, err := journal.Open(journal.Config{
				Path: paths.Log(), Terminal: terminal, Level: level, Console: console, Priorities: p.priorities,
			})
			if err != nil {
				log.Warn(journal.MessageNoLog, zap.Error(err))
			}
			defer log.Close()
			transport, err := transport.New(caFile)
			if err != nil {
				return p.failed(agent.CodeUsage, err)
			}
			metadata := instance.New(instance.Config{
				Logger: log.With(zap.String(journal.KeyPhase, agent.PhaseUserdata)), Role: log.Logger, Deadline: patience,
			})
			defer metadata.Close()
			signed := aws.New(aws.Config{
				Logger: log.Logger, Transport: transport, Credentials: hiding{metadata.Credentials(), log}, Region: metadata.Region,
			})
			unit := ""
			if paths.Root == "/" {
				unit = agent.OwnUnit()
			}
			p.code = agent.New(agent.Config{
				Paths: paths, Unit: unit, Userdata: userdata, Force: force, Only: only, Reboot: rebooter(paths.Root), Limits: limits, Version: version.String(), Journal: log, Metadata: metadata, AWS: signed,
				Fetch: fetch.New(fetch.Config{
					Logger: log.With(zap.String(journal.KeyPhase, agent.PhaseBundle)), Transport: transport, AWS: signed,
				}),
			}).Run(c.Context())
			return nil
		},
	}
	c.Flags().StringVar(&userdata, "userdata", "", "read the userdata from this `FILE` and do not ask instance metadata")
	c.Flags().BoolVar(&force, "force", false, "begin anew, whatever was done before")
	c.Flags().StringVar(&only, "only", "", "run this `MODULE` of the unpacked bundle again, and no other")
	cmdline.Complete(c, "only", p.moduleNames)
	c.Flags().StringVar(&caFile, "ca-file", os.Getenv("STARTUP_AGENT_CA_FILE"), "trust the certificates in this PEM `FILE` too (also STARTUP_AGENT_CA_FILE)")
	c.Flags().Int64Var(&limits.Bytes, "max-bytes", bundle.DefaultMaxBytes, "refuse a bundle that unpacks to more bytes")
	c.Flags().Int64Var(&limits.Files, "max-files", bundle.DefaultMaxFiles, "refuse a bundle of more files")
	c.Flags().Int64Var(&limits.Ratio, "max-ratio", bundle.DefaultMaxRatio, "refuse a bundle that unpacks to more times its size")
	c.Flags().DurationVar(&patience, "metadata-timeout", instance.DefaultDeadline, "wait this long for instance metadata")
	c.Flags().StringVar(&console, "console", "", "also tell this `DEVICE` in a few lines how the run goes, as /dev/console")
	c.Flags().BoolVar(&debug, "debug", false, "log every retry")
	return c
}

// rebooter returns how a module's wish for a reboot is granted: only a machine
// that systemd booted, and whose own root this is, may be rebooted.
func rebooter(root string) func(context.Context) error {
	if _, err := os.Stat("/run/systemd/system"); root != "/" || err != nil {
		return agent.NoReboot
	}
	return agent.SystemReboot
}

// hiding makes the log redact the credentials that a provider gives.
type hiding struct {
	aws.CredentialsProvider
	log *journal.Journal
}

// Retrieve gives the credentials, known to the log.
func (h hiding) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := h.CredentialsProvider.Retrieve(ctx)
	h.log.Add(secret.New(c.AccessKeyID), secret.New(c.SecretAccessKey), secret.New(c.SessionToken))
	return c, err
}
