package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"startup-bundle/internal/terminal"
	"startup-bundle/packer/push"
)

func (p *program) pushCommand() *cobra.Command {
	var o push.Options
	var asJSON bool
	c := &cobra.Command{
		Use:               "push BUNDLE s3://BUCKET/KEY",
		ValidArgsFunction: completeBundle,
		Short:             "Put a bundle into S3, where instances fetch it",
		Long: `Push uploads a bundle to S3 as the AWS command line would: with the credentials of
the environment, of a profile, of single sign-on or of an instance's role. Every
part is sent with its SHA-256, which S3 verifies. A KEY that ends in / gets the
file's name.

An object that is there is not replaced without --force; the same bundle pushed
again is left as it is. It prints the URL for the userdata, which names the very
version where the bucket keeps versions.`,
		Example: `  startup-packer push web.bundle s3://bucket/web.bundle
  startup-packer push web.bundle s3://bucket/bundles/ --presign 12h`,
		RunE: func(c *cobra.Command, args []string) error {
			o.File, o.Target = args[0], args[1]
			bar := newBar(p.stderr, "pushing")
			o.Progress = bar.report
			result, err := push.Run(c.Context(), o)
			bar.end()
			if err != nil {
				return err
			}
			if result.Expires != nil && result.Expires.Before(time.Now().Add(o.Presign-time.Minute)) {
				fmt.Fprintf(p.stderr, "the presigned URL ends with your credentials, at %s: sign with those of a user for a longer one\n", result.Expires.Format(time.RFC3339))
			}
			if asJSON {
				return p.printJSON(result)
			}
			p.printPushed(o.File, result)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&o.Profile, "profile", "", "the `NAME` of a profile of your AWS configuration")
	f.StringVar(&o.Region, "region", "", "the bucket's `REGION` (default: it is asked for)")
	f.StringVar(&o.Endpoint, "endpoint-url", "", "the `URL` of another server than AWS's (or AWS_ENDPOINT_URL)")
	f.DurationVar(&o.Presign, "presign", 0, "also print an https URL that needs no credentials for this long, 1m to 168h")
	f.BoolVar(&o.Replace, "force", false, "replace what is there")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return c
}

func (p *program) printPushed(file string, r *push.Result) {
	fmt.Fprintf(p.stdout, "url             %s\n", r.URL)
	fmt.Fprintf(p.stdout, "sha256          %s (%s)\n", r.SHA256, size(r.Bytes))
	if r.Presigned != "" {
		fmt.Fprintf(p.stdout, "presigned       %s\n", r.Presigned)
		fmt.Fprintf(p.stdout, "expires         %s\n", r.Expires.Format(time.RFC3339))
	}
	if r.Unchanged {
		fmt.Fprintln(p.stderr, "it was there already")
	}
	key := ""
	if _, err := os.Stat(file + ".key"); err == nil {
		key = " --key-file " + terminal.Quote(file+".key")
	}
	fmt.Fprintf(p.stderr, "next: startup-packer userdata --url %s%s --bundle %s -o userdata\n", terminal.Quote(r.URL), key, terminal.Quote(file))
}
