// Command startup-agent boots an instance from its userdata: see package agent.
package main

import (
	"context"
	"os"

	"startup-bundle/cmd/startup-agent/cli"
)

func main() { os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }
