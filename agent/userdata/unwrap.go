package userdata

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"io"
)

const (
	maxBase64 = 2 // layers
	maxGzip   = 1
)

const blank = " \t\r\n\f\v\x00"

// unwrap undoes gzip and base64, in whichever order they come.
func (p *parser) unwrap() error {
	encoded, compressed := 0, 0
	for {
		if isGzip(p.text) {
			if compressed == maxGzip {
				return &Error{"the userdata is compressed twice", "gzip it once; some tools do it themselves"}
			}
			compressed++
			text, err := gunzip(p.text)
			if err != nil {
				return err
			}
			p.text = text
			continue
		}
		text, ok := unbase64(p.text)
		if !ok {
			break
		}
		if encoded == maxBase64 {
			return &Error{"the userdata is base64 three times over", "give your tool the plain text; most encode it themselves"}
		}
		encoded++
		p.text = text
	}
	if encoded == maxBase64 {
		p.warn("the userdata is base64 twice over: give your tool the plain text, most encode it themselves")
	}
	return nil
}

// isGzipAsText knows gzip that a tool has read as text: its second byte, 0x8b, is
// no UTF-8.
func isGzipAsText(text []byte) bool {
	return bytes.HasPrefix(text, []byte("\x1f\ufffd\x08")) || bytes.HasPrefix(text, []byte("\x1f\u008b\x08"))
}

func isGzip(text []byte) bool { return bytes.HasPrefix(text, []byte{0x1f, 0x8b}) }

// gunzip decompresses every member of a file (RFC 1952, section 2.2), as bundles
// and cloud-init do. Blanks and NULs may follow the last.
func gunzip(text []byte) ([]byte, error) {
	damaged := &Error{"the gzip'd userdata is damaged", "was it cut off, or read as text by a tool? make it again, or pass it uncompressed"}
	source := bytes.NewReader(text)
	var out []byte
	for z := new(gzip.Reader); ; {
		if z.Reset(source) != nil {
			return nil, damaged
		}
		z.Multistream(false)
		member, err := io.ReadAll(io.LimitReader(z, int64(MaxUnpacked+1-len(out))))
		if err != nil {
			return nil, damaged
		}
		if out = append(out, member...); len(out) > MaxUnpacked {
			return nil, &Error{"the userdata is more than 1 MiB once unpacked", "move files and scripts into the bundle"}
		}
		if rest := text[len(text)-source.Len():]; len(bytes.Trim(rest, blank)) == 0 {
			return out, nil
		}
	}
}

// unbase64 returns what text encodes, if it is base64 and of something that
// userdata can begin with: a plain word is valid base64 too.
func unbase64(text []byte) ([]byte, bool) {
	compact := bytes.TrimRight(base64Letters(text), "=")
	if len(compact) < 4 {
		return nil, false
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(compact)))
	n, err := base64.RawStdEncoding.Decode(out, compact)
	if err != nil || !plausible(out[:n]) {
		return nil, false
	}
	return out[:n], true
}

// base64Letters returns text without blanks, in the usual alphabet.
func base64Letters(text []byte) []byte {
	return bytes.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '\r', '\n':
			return -1
		case '-': // the alphabet for URLs
			return '+'
		case '_':
			return '/'
		}
		return r
	}, bytes.Trim(stripBOM(text), blank))
}

// plausible reports whether text can be userdata: gzip, base64 again, or text
// without control characters.
func plausible(text []byte) bool {
	if isGzip(text) || bytes.HasPrefix(text, []byte{0xff, 0xfe}) || bytes.HasPrefix(text, []byte{0xfe, 0xff}) {
		return true
	}
	text = bytes.TrimRight(stripBOM(text), "\x00")
	for _, c := range text {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
			return false
		}
	}
	first, _, _ := bytes.Cut(bytes.TrimLeft(text, blank), []byte("\n"))
	for _, c := range first {
		if c >= 0x80 {
			return false
		}
	}
	return len(first) > 0
}

func stripBOM(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) }

// tidy removes what editors and tools add around and between lines. It keeps
// leading blank lines and indentation, so that errors give true lines.
func (p *parser) tidy() {
	if text, ok := fromUTF16(p.text); ok {
		p.warn("the userdata is UTF-16, as Windows tools write it: save it as UTF-8")
		p.text = text
	}
	if trimmed := bytes.TrimRight(p.text, "\x00"); len(trimmed) < len(p.text) {
		p.text = trimmed
		p.warn("the userdata ends with NUL bytes: remove them")
	}
	if trimmed := stripBOM(p.text); len(trimmed) < len(p.text) {
		p.text = trimmed
		p.warn(`the userdata begins with a byte order mark: save the file as "UTF-8 without BOM"`)
	}
	if len(bytes.Trim(p.text, blank)) == 0 {
		p.text, p.out.Warnings = nil, nil
	}
}

// start returns the text from its first line that is not blank, and reports
// whether anything stood before it.
func (p *parser) start() (text []byte, moved bool) {
	text = bytes.TrimLeft(p.text, blank)
	return text, len(text) < len(p.text)
}

// fromUTF16 turns UTF-16 with a byte order mark into UTF-8.
func fromUTF16(text []byte) ([]byte, bool) {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(text, []byte{0xff, 0xfe}):
		order = binary.LittleEndian
	case bytes.HasPrefix(text, []byte{0xfe, 0xff}):
		order = binary.BigEndian
	default:
		return nil, false
	}
	return decodeUTF16(text[2:], order), true
}
