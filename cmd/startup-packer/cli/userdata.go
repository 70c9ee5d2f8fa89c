package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/cmdline"
	"startup-bundle/internal/document"
	"startup-bundle/internal/files"
	"startup-bundle/internal/secret"
	"startup-bundle/packer"
)

func (p *program) userdataCommand() *cobra.Command {
	var d document.Document
	var bundleFile, out, onFailure, run string
	var script, multipart bool
	var partFlags, envFlags []string
	c := &cobra.Command{
		Use:   "userdata --url URL",
		Short: "Write the userdata to launch an instance with",
		Long: `Userdata writes the start-up document for "aws ec2 run-instances --user-data".
It holds the key, unless --key-from says where the instance finds it.

With --script it writes a shell script instead, for images without the agent: it
needs bash, curl, openssl and tar there, and a bundle of --format openssl.`,
		Example: `  startup-packer userdata --url https://bucket.example/web.bundle --key-file web.bundle.key --bundle web.bundle -o userdata
  aws ec2 run-instances … --user-data file://userdata`,
	}
	key := keyFlag(c, "put the key in this `FILE` into the userdata")
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		if d.Key, err = key(); err != nil {
			return err
		}
		if d.Env, err = environment(envFlags); err != nil {
			return err
		}
		if bundleFile != "" {
			if d.SHA256, err = digestFile(bundleFile); err != nil {
				return err
			}
			if d.Key.IsSet() {
				if err := packer.Opens(c.Context(), bundleFile, bundle.Key{Secret: d.Key, Iterations: d.OpenSSLIterations}); err != nil {
					return fmt.Errorf("open %s with this key: %w", bundleFile, err)
				}
			}
		}
		d.OnFailure, d.Run = document.OnFailure(onFailure), document.RunPolicy(run)
		write := packer.Userdata
		switch {
		case script:
			write = packer.Script
		case multipart || len(partFlags) > 0:
			parts, err := readParts(partFlags)
			if err != nil {
				return err
			}
			write = func(d document.Document) ([]byte, error) { return packer.Multipart(d, parts) }
		}
		text, err := write(d)
		if err != nil {
			return err
		}
		if !script { // which verifies nothing anyway
			for _, u := range d.Unvouched() {
				fmt.Fprintf(p.stderr, "warning: from %s %s\n", secret.URL(u), document.UnvouchedAdvice)
			}
		}
		if out == "" {
			_, err = p.stdout.Raw().Write(text) // the instance gets it byte for byte
			return err
		}
		if err := files.Write(out, text, 0o600); err != nil { // it holds a key
			return fmt.Errorf("write userdata: %w", err)
		}
		return nil
	}
	f := c.Flags()
	f.StringArrayVar(&d.URLs, "url", nil, "where the bundle is: https, http, s3 or file `URL`; repeat it for mirrors")
	f.StringVar(&d.KeyFrom, "key-from", "", "let the instance find the key: ssm:NAME, secretsmanager:ID, kms:CIPHERTEXT or file:/PATH")
	f.StringVar(&bundleFile, "bundle", "", "pin the sha256 of this bundle `FILE`, and try the key on it")
	f.StringVar(&onFailure, "on-failure", "", "stop (default) or continue after a module that failed")
	f.StringVar(&run, "run", "", "once (default) or every-boot")
	f.DurationVar(&d.Timeout, "timeout", 0, "of the whole run (default 1h)")
	f.IntVar(&d.OpenSSLIterations, "openssl-iterations", 0, "of a bundle made with openssl enc -pbkdf2 -iter `N`")
	f.StringArrayVar(&envFlags, "env", nil, "set `NAME=VALUE` for every module, where VALUE is all that follows the first =; repeat it for more")
	f.BoolVar(&script, "script", false, "write a shell script, for images without the agent")
	f.BoolVar(&multipart, "mime", false, "write MIME multipart, whose other parts cloud-init takes")
	f.StringArrayVar(&partFlags, "part", nil, "add this `FILE:TYPE` to the multipart: TYPE such as text/cloud-config, text/x-shellscript")
	f.StringVarP(&out, "output", "o", "", "write to this `FILE`, mode 0600 (default: standard output)")
	cmdline.OneOf(c, "on-failure", string(document.Stop), string(document.Continue))
	cmdline.OneOf(c, "run", string(document.Once), string(document.EveryBoot))
	c.MarkFlagsMutuallyExclusive("key-file", "key-from")
	c.MarkFlagsMutuallyExclusive("script", "mime")
	c.MarkFlagsMutuallyExclusive("script", "part")
	_ = c.MarkFlagRequired("url") // fails only for a flag that does not exist
	return c
}

func readParts(flags []string) ([]packer.Part, error) {
	parts := make([]packer.Part, 0, len(flags))
	for _, flag := range flags {
		at := strings.LastIndex(flag, ":")
		if at < 0 {
			return nil, fmt.Errorf("--part %s: give it as FILE:TYPE, with a type such as text/x-shellscript or text/cloud-config", flag)
		}
		text, err := os.ReadFile(flag[:at])
		if err != nil {
			return nil, err
		}
		parts = append(parts, packer.Part{Name: flag[:at], Type: flag[at+1:], Text: text})
	}
	return parts, nil
}

func digestFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
