// Command startup-packer makes start-up bundles: see package packer.
package main

import (
	"context"
	"os"

	"startup-bundle/cmd/startup-packer/cli"
)

func main() { os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }
