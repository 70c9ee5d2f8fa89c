// Command startup-packer makes start-up bundles: see package packer.
package main

import (
	"context"
	"io"
	"log"
	"os"

	"startup-bundle/cmd/startup-packer/cli"
)

func main() {
	log.SetOutput(io.Discard) // transfermanager's words on an upload that failed: it returns the error too
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
