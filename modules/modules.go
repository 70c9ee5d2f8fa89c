// Package modules is the standard collection. What the packer needs of it goes into
// the program: a module from elsewhere comes without its collection's library.
package modules

import _ "embed"

//go:embed lib.sh
var library string

// Library returns the shell library.
func Library() []byte { return []byte(library) }
