// Package strictyaml reads the YAML files that people keep beside their modules.
package strictyaml

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/goccy/go-yaml"
)

var errUnreadable = errors.New("it is not YAML that can be read: look for a tag (!…), a bracket that nothing opens, or a value that wants quotes")

// Decode reads text into what into points to, which stays as it is where text is
// empty. Unknown fields and fields given twice are errors. An error names line and
// column, without the lines there; where the library gives up without an error
// (goccy/go-yaml 1.19.2 does on "os: !x y}}"), it says what to look for.
func Decode(text []byte, into any) (err error) {
	defer func() {
		if recover() != nil { // the library's own, on text it did not expect
			err = errUnreadable
		}
	}()
	err = yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(into)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return errors.New(strings.TrimSpace(yaml.FormatError(err, false, false)))
}
