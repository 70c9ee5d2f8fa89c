// Package userdata turns the bytes an instance was launched with into a
// start-up document or a script.
package userdata

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"startup-bundle/internal/document"
)

// MaxUnpacked is how many bytes userdata may have once its gzip and base64 are
// undone.
const MaxUnpacked = 1 << 20

// Kind says what userdata is.
type Kind string

// The values of [Kind].
const (
	None     Kind = "none"     // no userdata, or only blank
	Document Kind = "document" // a start-up document, bare or in MIME multipart
	Script   Kind = "script"   // a #! script
	Foreign  Kind = "foreign"  // something for another program
)

// Userdata is what [Parse] made of the raw bytes.
type Userdata struct {
	Kind Kind

	// Document is set for Kind Document.
	Document *document.Document

	// Script is set for Kind Script: it starts with "#!" and has LF line ends.
	// It may hold secrets.
	Script []byte

	// Foreign says for Kind Foreign what the userdata looks like, in a few of
	// our own words and never in its own text.
	Foreign string

	// Warnings are for a person: each names a fault that was overlooked, and
	// its cure. They hold nothing of the userdata.
	Warnings []string

	// Digest is the sha256 of the raw bytes, in lower-case hexadecimal.
	Digest string
}

// Error is userdata that was meant for us and cannot be used. It holds nothing
// of the userdata. A document's own faults are a [document.Errors] instead.
type Error struct {
	Problem string // what is wrong
	Hint    string // what to do about it
}

// Error returns problem and hint on one line.
func (e *Error) Error() string { return e.Problem + "; " + e.Hint }

// parser is userdata on its way to [Userdata].
type parser struct {
	out  Userdata
	text []byte // what is left after the layers undone so far
}

// Parse tells what raw is, and reads it: at most 16,384 bytes, which may be
// gzip'd and base64'd (that even twice). Digest is set in any case, also
// together with an error, which is an *[Error] or wraps a [document.Errors].
//
// The order of the steps: undo gzip and base64; undo what editors add (byte
// order mark, CRLF, blank lines, NUL); tell the kind by the first line; read
// the document.
func Parse(raw []byte) (Userdata, error) {
	sum := sha256.Sum256(raw)
	p := parser{out: Userdata{Digest: hex.EncodeToString(sum[:])}, text: raw}
	err := p.parse()
	if err != nil {
		return Userdata{Digest: p.out.Digest, Warnings: p.out.Warnings}, err
	}
	return p.out, nil
}

func (p *parser) parse() error {
	if len(p.text) > document.MaxUserdata {
		return &Error{
			Problem: fmt.Sprintf("the userdata has %d bytes, more than the %d that EC2 accepts", len(p.text), document.MaxUserdata),
			Hint:    "gzip it, or move files and scripts into the bundle",
		}
	}
	if err := p.unwrap(); err != nil {
		return err
	}
	p.tidy()
	return p.classify()
}

func (p *parser) warn(text string) { p.out.Warnings = append(p.out.Warnings, text) }

// foreign drops the warnings so far: how others' userdata is written is
// nothing to us.
func (p *parser) foreign(what string, warnings ...string) error {
	p.out.Kind, p.out.Foreign, p.out.Warnings = Foreign, what, warnings
	return nil
}

func (p *parser) script(text []byte) error {
	p.out.Kind, p.out.Script = Script, bytes.Clone(text)
	return nil
}

func (p *parser) document(text []byte) error {
	doc, err := document.Parse(text)
	if err != nil {
		return err
	}
	p.out.Kind, p.out.Document = Document, &doc
	return nil
}
