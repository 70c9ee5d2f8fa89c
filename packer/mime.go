package packer

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"mime/multipart"
	"net/textproto"
	"path/filepath"
	"slices"

	"startup-bundle/internal/document"
)

// Part is one more part of multipart userdata, for cloud-init.
type Part struct {
	Name string // file name
	Type string // MIME type, as cloud-init knows it: text/cloud-config, text/x-shellscript
	Text []byte
}

// Multipart returns the document and other parts as MIME multipart userdata,
// gzip'd where only that brings it below EC2's limit. It holds the key.
func Multipart(d document.Document, parts []Part) ([]byte, error) {
	text, err := d.Marshal()
	if err != nil {
		return nil, err
	}
	all := slices.Concat([]Part{{Name: "startup-bundle.yaml", Type: document.MIMEType, Text: text}}, parts)
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, part := range all {
		if err := part.write(w); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	// cloud-init takes a text for MIME only with this header.
	out := fmt.Appendf(nil, "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=%q\n\n", w.Boundary())
	out = append(out, body.Bytes()...)
	if len(out) > document.MaxUserdata {
		if out, err = squeeze(out); err != nil {
			return nil, err
		}
	}
	return out, checkSize(out)
}

func (p Part) write(w *multipart.Writer) error {
	if p.Type == "" || p.Name == "" {
		return errors.New("a part is given as FILE:TYPE, with a type such as text/x-shellscript or text/cloud-config")
	}
	kind, params, err := mime.ParseMediaType(p.Type)
	if err != nil {
		return fmt.Errorf("the type of part %s: %w", p.Name, err)
	}
	if kind == document.MIMEType && len(params) == 0 && p.Name != "startup-bundle.yaml" {
		return fmt.Errorf("part %s: there is one start-up document already", p.Name)
	}
	header := textproto.MIMEHeader{
		"Content-Type":        {mime.FormatMediaType(kind, map[string]string{"charset": "utf-8"})},
		"Content-Disposition": {mime.FormatMediaType("attachment", map[string]string{"filename": filepath.Base(p.Name)})},
	}
	text := p.Text
	if !plain(text) {
		header.Set("Content-Transfer-Encoding", "base64")
		text = wrapped(text)
	}
	out, err := w.CreatePart(header)
	if err == nil {
		_, err = out.Write(text)
	}
	return err
}

// plain reports whether MIME carries text as it is: short lines of ASCII.
func plain(text []byte) bool {
	const longest = 998 // RFC 5322
	for line := range bytes.Lines(text) {
		if len(line) > longest {
			return false
		}
	}
	return !bytes.ContainsFunc(text, func(r rune) bool { return r > '~' || r == '\r' || r == 0 })
}

// wrapped returns text as base64 in lines of 76.
func wrapped(text []byte) []byte {
	const width = 76
	code := []byte(base64.StdEncoding.EncodeToString(text))
	return bytes.Join(slices.Collect(slices.Chunk(code, width)), []byte("\n"))
}

func squeeze(text []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(text); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
