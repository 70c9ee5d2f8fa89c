package userdata

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"strings"

	"startup-bundle/internal/document"
)

const (
	maxParts = 256
	maxNest  = 4
)

// isMIME reports whether text begins with headers, and one of them says that
// it is a MIME message.
func isMIME(text []byte) bool {
	for line := range bytes.Lines(text) {
		name, _, found := strings.Cut(strings.ToLower(string(line)), ":")
		if !found || strings.ContainsAny(name, " \t#") {
			return false
		}
		if name == "content-type" || name == "mime-version" {
			return true
		}
	}
	return false
}

// parts is what a walk through a MIME message found.
type parts struct {
	documents [][]byte
	others    int
	versioned bool // the message has the header that makes it MIME
	mistyped  bool // a document that was not declared as text/x-startup-bundle
}

// multipart reads the one document of a MIME message. A message that is
// broken and never mentions us is somebody else's.
func (p *parser) multipart(text []byte) error {
	var found parts
	err := found.message(text)
	if err == nil && len(found.documents) > 1 {
		err = &Error{
			fmt.Sprintf("the MIME message has %d %s parts", len(found.documents), document.MIMEType),
			"keep one: an instance has one bundle, and a bundle many modules",
		}
	}
	if err != nil {
		if !bytes.Contains(text, []byte("startup-bundle")) {
			return p.foreign("a MIME message that is broken")
		}
		return err
	}
	if len(found.documents) == 0 {
		return p.foreign("a MIME message without a " + document.MIMEType + " part")
	}
	if !found.versioned {
		p.warn("the MIME message has no MIME-Version header: cloud-init needs it to see its parts; add MIME-Version: 1.0")
	}
	if found.mistyped {
		p.warn("the document's part has another content type: declare it as " + document.MIMEType)
	}
	if n := found.others; n > 0 {
		p.warn(fmt.Sprintf("other parts of the MIME message: %d. They are left to cloud-init; where it does not run, move them into the bundle", n))
	}
	if err := p.document(found.documents[0]); err != nil {
		countFrom(text, found.documents[0], err)
		return fmt.Errorf("in the %s part: %w", document.MIMEType, err)
	}
	return nil
}

// countFrom makes the lines of a document's errors those of the whole message,
// where the document stands in it as it is.
func countFrom(message, part []byte, err error) {
	var problems document.Errors
	at := bytes.Index(message, part)
	if at < 0 || !errors.As(err, &problems) {
		return
	}
	for _, problem := range problems {
		if problem.Line > 0 {
			problem.Line += bytes.Count(message[:at], []byte("\n"))
		}
	}
}

// message reads headers and body.
func (f *parts) message(text []byte) error {
	reader := bufio.NewReader(bytes.NewReader(text))
	header, err := textproto.NewReader(reader).ReadMIMEHeader()
	if err != nil {
		return brokenMIME("its headers are not followed by an empty line")
	}
	f.versioned = header.Get("MIME-Version") != ""
	return f.part(header, reader, 0)
}

func (f *parts) part(header textproto.MIMEHeader, body io.Reader, depth int) error {
	mediaType, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		mediaType = "text/plain"
	}
	if strings.HasPrefix(mediaType, "multipart/") {
		return f.nested(params["boundary"], body, depth)
	}
	text, err := decode(header.Get("Content-Transfer-Encoding"), body)
	if err != nil {
		return err
	}
	return f.leaf(mediaType, text)
}

func (f *parts) nested(boundary string, body io.Reader, depth int) error {
	switch {
	case boundary == "":
		return brokenMIME("its Content-Type names no boundary")
	case depth == maxNest:
		return brokenMIME("it is nested too deep")
	}
	text, err := io.ReadAll(body)
	switch {
	case err != nil, !bytes.Contains(text, []byte("--"+boundary+"--")):
		return brokenMIME("it ends before the closing boundary that its Content-Type names")
	}
	reader := multipart.NewReader(bytes.NewReader(text), boundary)
	for {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return brokenMIME("the headers of a part are damaged")
		}
		if f.others+len(f.documents) == maxParts {
			return brokenMIME(fmt.Sprintf("it has more than %d parts", maxParts))
		}
		if err := f.part(part.Header, part, depth+1); err != nil {
			return err
		}
	}
}

func (f *parts) leaf(mediaType string, text []byte) error {
	switch {
	case mediaType == document.MIMEType:
		f.documents = append(f.documents, text)
	case strings.Contains(mediaType, "startup"):
		return &Error{"a MIME part has almost the content type " + document.MIMEType, "write it exactly so"}
	case startsWithMagic(text):
		f.documents, f.mistyped = append(f.documents, text), true
	case mediaType == "text/plain" && foreignByFirstLine(firstLine(text)) == "":
		f.others++
		return mangled(text)
	default:
		f.others++
	}
	return nil
}

func startsWithMagic(text []byte) bool {
	line, _, _ := bytes.Cut(bytes.TrimLeft(stripBOM(text), blank), []byte("\n"))
	return string(bytes.TrimRight(line, blank)) == document.Magic
}

// decode undoes the transfer encoding of a part.
func decode(encoding string, body io.Reader) ([]byte, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "7bit", "8bit", "binary":
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	default:
		return nil, brokenMIME("a part has a transfer encoding that is not base64, quoted-printable, 7bit, 8bit or binary")
	}
	text, err := io.ReadAll(io.LimitReader(body, MaxUnpacked+1))
	if err != nil || len(text) > MaxUnpacked {
		return nil, brokenMIME("a part does not decode")
	}
	return bytes.TrimRight(stripBOM(text), "\x00"), nil
}

func brokenMIME(why string) error {
	return &Error{
		"the MIME message cannot be read: " + why,
		"make it with startup-packer userdata --mime, or cloud-init devel make-mime",
	}
}
