package userdata

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"html"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"

	"startup-bundle/internal/document"
)

const (
	// mangledHead is how much of userdata is looked at for what a tool did to it.
	mangledHead = 8 << 10
	// mangledDepth is how many tools in a row may have done something to it.
	mangledDepth = 3
)

// repair undoes what a tool does to text. It returns nil if there is nothing to
// undo.
type repair struct {
	is   string // what is wrong, to go on after "but"
	cure string
	undo func(text []byte) []byte
}

func repairs() []repair {
	const file = "give your tool the plain text, as a file if it can"
	return []repair{
		{`its line breaks are the two characters \n`, file, realLineBreaks},
		{"its lines end with a carriage return alone", "save it with LF line ends", realLineEnds},
		{"it is UTF-16 without a byte order mark", "save it as UTF-8", wide},
		{"it has quotes around it", "remove them", unquoted},
		{"it is escaped for HTML, with &#35; for #", "turn off the escaping of your template", unescapedHTML},
		{"it is URL-encoded", file, unescapedURL},
		{"it is a data: URL", file, dataURL},
		{"it stands in JSON that describes an instance", "take the text alone out of it", unwrappedJSON},
		{"it is base64 that is cut off, damaged or has something around it", file, damagedBase64},
		{"a line that opens a block stands above it", "remove that line, and the one that ends the block", withoutOpening},
		{"it holds invisible characters", "remove them: type the first line again", visible},
	}
}

// mangled says what a tool did to a start-up document on its way here, or its
// author to its first line, so that it does not begin with the magic line; nil if
// text is not one.
func mangled(text []byte) error {
	head := text[:min(len(text), mangledHead)]
	line := firstLine(head)
	wrong := chain(head, isDocument)
	if wrong == nil && !isFirstLine(line) {
		wrong = chain(head, func(text []byte) bool { return isFirstLine(firstLine(stripBOM(text))) })
	}
	if wrong != nil {
		is := make([]string, len(wrong))
		for i, r := range wrong {
			is[i] = r.is
		}
		return &Error{"the userdata is a start-up document, but " + strings.Join(is, ", and "), wrong[0].cure}
	}
	switch {
	case !isFirstLine(line):
		return nil
	case beforeFields(line) != "":
		return &Error{
			"the first line goes on after " + document.Magic,
			"put each field on a line of its own: were the line breaks lost?",
		}
	case document.NearMagic(line):
		return &Error{"the first line is almost " + document.Magic, firstLineHint}
	}
	return &Error{"the first line holds " + document.Magic + ", and other text", firstLineHint}
}

// chain returns the shortest row of repairs after which text is good, in the order
// in which they are done; nil if there is none.
func chain(text []byte, good func(text []byte) bool) []repair {
	type state struct {
		text []byte
		done []repair
	}
	seen := map[string]bool{string(text): true}
	row := []state{{text: text}}
	for range mangledDepth {
		var next []state
		for _, s := range row {
			for _, r := range repairs() {
				text := r.undo(s.text)
				if text == nil || seen[string(text)] {
					continue
				}
				seen[string(text)] = true
				done := append(s.done[:len(s.done):len(s.done)], r)
				if !isForeign(text) && good(text) {
					return done
				}
				next = append(next, state{text, done})
			}
		}
		row = next
	}
	return nil
}

// isForeign reports whether text begins as what another program reads.
func isForeign(text []byte) bool {
	line := firstLine(stripBOM(text))
	return foreignByFirstLine(line) != "" || strings.HasPrefix(line, "#!") && !document.NearMagic(line)
}

// isDocument reports whether text begins as a document does.
func isDocument(text []byte) bool {
	text = bytes.TrimLeft(stripBOM(text), blank)
	return firstLine(text) == document.Magic || looksLikeDocument(text)
}

// isFirstLine reports whether line holds the magic line, or was meant to be it.
func isFirstLine(line string) bool {
	return document.NearMagic(line) || beforeFields(line) != "" || strings.Contains(strings.ToLower(line), document.Magic)
}

func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimLeft(text, blank), []byte("\n"))
	return string(bytes.TrimRight(line, blank))
}

// beforeFields returns the magic line, as it is written, if a field of a document
// follows it on its own line.
func beforeFields(line string) string {
	form := regexp.MustCompile(`^([^:]{1,40}?)[ \t,;]+["']?(?:url|key|key_from|sha256|env|run|timeout|on_failure)["']?:`)
	match := form.FindStringSubmatch(line)
	if match == nil || match[1] != document.Magic && !document.NearMagic(match[1]) {
		return ""
	}
	return match[1]
}

// isHTML reports whether text is a web page: what a portal, or a metadata service
// that is none, answers.
func isHTML(text []byte) bool {
	lower := strings.ToLower(string(text[:min(len(text), 1<<10)]))
	for rest := lower; ; {
		switch {
		case strings.HasPrefix(rest, "<!doctype html"), strings.HasPrefix(rest, "<html"), strings.HasPrefix(rest, "<head"),
			strings.HasPrefix(rest, "<title"), strings.HasPrefix(rest, "<body"):
			return true
		case strings.HasPrefix(rest, "<?xml"), strings.HasPrefix(rest, "<!--"):
			_, after, found := strings.Cut(rest, ">")
			if !found {
				return false
			}
			rest = strings.TrimLeft(after, blank)
		default:
			return false
		}
	}
}

func realLineBreaks(text []byte) []byte {
	if bytes.IndexByte(text, '\\') < 0 {
		return nil
	}
	return changed(text, strings.NewReplacer(
		`\\r\\n`, "\n", `\\n`, "\n", `\r\n`, "\n", `\n`, "\n", `\\"`, `"`, `\"`, `"`, `\t`, "\t", `\u0023`, "#",
	).Replace(string(text)))
}

func realLineEnds(text []byte) []byte {
	return changed(text, strings.NewReplacer("\r\n", "\r\n", "\r", "\n").Replace(string(text)))
}

// wide decodes UTF-16 that is mostly ASCII.
func wide(text []byte) []byte {
	var order binary.ByteOrder
	even, odd := 0, 0
	for i, c := range text {
		switch {
		case c != 0:
		case i%2 == 0:
			even++
		default:
			odd++
		}
	}
	switch most := len(text) * 3 / 8; { // three characters of four
	case len(text) < len(document.Magic):
		return nil
	case odd > most && even == 0:
		order = binary.LittleEndian
	case even > most && odd == 0:
		order = binary.BigEndian
	default:
		return nil
	}
	return decodeUTF16(text, order)
}

func decodeUTF16(text []byte, order binary.ByteOrder) []byte {
	units := make([]uint16, 0, len(text)/2)
	for ; len(text) >= 2; text = text[2:] {
		units = append(units, order.Uint16(text))
	}
	return []byte(string(utf16.Decode(units)))
}

func unquoted(text []byte) []byte {
	const quotes = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"
	inner := bytes.TrimLeft(bytes.Trim(text, blank), quotes)
	if len(inner) == len(bytes.Trim(text, blank)) {
		return nil
	}
	return bytes.TrimRight(inner, quotes+blank)
}

func unescapedHTML(text []byte) []byte {
	if bytes.IndexByte(text, '&') < 0 {
		return nil
	}
	return changed(text, html.UnescapeString(string(text)))
}

// unescapedURL decodes as far as it can: the head may end within an escape.
func unescapedURL(text []byte) []byte {
	if !regexp.MustCompile(`(?i)%(23|25|0a|3a)`).Match(text) {
		return nil
	}
	plain := strings.ReplaceAll(string(text), "+", " ")
	return changed(text, regexp.MustCompile(`(?i)%[0-9a-f]{2}`).ReplaceAllStringFunc(plain, func(escape string) string {
		var c byte
		for _, digit := range []byte(strings.ToLower(escape[1:])) {
			c = c<<4 | byte(strings.IndexByte("0123456789abcdef", digit))
		}
		return string([]byte{c})
	}))
}

func dataURL(text []byte) []byte {
	text = bytes.Trim(text, blank)
	if len(text) < 5 || !strings.EqualFold(string(text[:5]), "data:") {
		return nil
	}
	kind, data, found := bytes.Cut(text, []byte(","))
	switch {
	case !found:
		return nil
	case bytes.HasSuffix(kind, []byte(";base64")):
		return base64Head(data)
	}
	if plain := unescapedURL(data); plain != nil {
		return plain
	}
	return data
}

// unwrappedJSON returns the text of a field that is called userdata, as AWS's
// commands and templates print and take it.
func unwrappedJSON(text []byte) []byte {
	var object any
	if text = bytes.Trim(text, blank); !bytes.HasPrefix(text, []byte("{")) || json.Unmarshal(text, &object) != nil {
		return nil
	}
	inner := userdataField(object, false)
	if inner == "" {
		return nil
	}
	if plain, ok := unbase64([]byte(inner)); ok {
		return plain
	}
	return []byte(inner)
}

func userdataField(value any, named bool) string {
	switch v := value.(type) {
	case string:
		if named {
			return v
		}
	case map[string]any:
		for name, inner := range v {
			simple := strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
			if text := userdataField(inner, named || simple == "userdata" || simple == "fn::base64"); text != "" {
				return text
			}
		}
	}
	return ""
}

// damagedBase64 decodes what does not decode as a whole.
func damagedBase64(text []byte) []byte {
	coded := base64.StdEncoding.EncodeToString([]byte(document.Magic)) // 15 bytes, so whatever follows
	if at := strings.Index(firstLine(text), coded); at > 0 {
		text = bytes.TrimLeft(text, blank)[at:]
	}
	return base64Head(text)
}

// base64Head decodes the beginning of text as far as it is base64, and decompresses
// that as far as it is gzip.
func base64Head(text []byte) []byte {
	compact := base64Letters(text)
	end := bytes.IndexFunc(compact, func(r rune) bool {
		return r >= unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '+' && r != '/'
	})
	if end >= 0 {
		compact = compact[:end]
	}
	compact = compact[:len(compact)/4*4]
	if len(compact) < 12 {
		return nil
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(compact)))
	n, err := base64.StdEncoding.Decode(out, compact)
	if err != nil {
		return nil
	}
	if out = out[:n]; !isGzip(out) {
		return out
	}
	z, err := gzip.NewReader(bytes.NewReader(out))
	if err != nil {
		return nil
	}
	plain, _ := io.ReadAll(io.LimitReader(z, mangledHead)) // as far as it goes
	return plain
}

// withoutOpening removes a first line that opens a here-document or a fence.
func withoutOpening(text []byte) []byte {
	if !regexp.MustCompile("<<[-~]?[ \t]*['\"]?\\w+|^```").MatchString(firstLine(text)) {
		return nil
	}
	_, rest, _ := bytes.Cut(bytes.TrimLeft(text, blank), []byte("\n"))
	return rest
}

// visible removes what no editor shows, and makes every blank a plain one.
func visible(text []byte) []byte {
	return changed(text, strings.Map(func(r rune) rune {
		switch {
		case unicode.In(r, unicode.Cf), r == 0:
			return -1
		case unicode.In(r, unicode.Zs):
			return ' '
		}
		return r
	}, string(text)))
}

func changed(before []byte, after string) []byte {
	if string(before) == after {
		return nil
	}
	return []byte(after)
}
