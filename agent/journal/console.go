package journal

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"startup-bundle/internal/terminal"
)

const (
	consoleWidth = 80 // columns of a line, its end included
	consoleLines = 3  // of one entry, at most
	consoleName  = "startup-agent: "
)

// console is a device such as /dev/console that gets a run's course in a few
// lines of at most 79 columns of plain ASCII, without any module's output. What
// becomes of them must never hold up a boot: each is written without waiting,
// and errors are nobody's. The last has a fixed form:
//
//	startup-agent: result=failed exit_code=15 bundle=web duration=12.3s
//
// The device is opened anew each time: a getty that starts hangs up whoever has
// it open.
type console struct{ path string }

func (c console) tell(line []byte) {
	if c.path == "" {
		return
	}
	var text strings.Builder
	for _, said := range consoleText(line) {
		text.WriteString(said + "\r\n")
	}
	if text.Len() == 0 {
		return
	}
	// Neither os.OpenFile nor os.File.Write: these would wait for the device.
	fd, err := unix.Open(c.path, unix.O_WRONLY|unix.O_APPEND|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	_, _ = unix.Write(fd, []byte(text.String()))
	_ = unix.Close(fd)
}

// consoleText says what of an entry the console shows.
func consoleText(line []byte) []string {
	fields, ok := parse(nil, line)
	if !ok {
		return nil
	}
	message, module, failure := fields.take(KeyMessage), fields.take(KeyModule), fields.take("error")
	switch message {
	case MessageStarted:
		return consoleWrap("started, version " + fields.take("version"))
	case MessageIdle:
		return consoleWrap("nothing to do: " + fields.take("reason"))
	case MessageModuleStarted:
		if place := fields.take("place"); place != "" {
			module += " (" + place + ")"
		}
		return consoleWrap("module " + module + " started")
	case MessageModuleEnded:
		state := fields.take("state")
		if fields.take("check") == "failed" {
			state = "check failed"
		}
		text := "module " + module + " " + state + " after " + duration(fields.take("duration"))
		if failure != "" {
			text += ": " + failure
		}
		return consoleWrap(text)
	case MessageNoLog:
		return consoleWrap("warning: " + message + ": " + failure)
	case MessageSilent:
		return consoleWrap("module " + module + " has printed nothing for " + duration(fields.take("duration")))
	case MessageEnded:
		return consoleResult("idle", fields)
	case MessageSucceeded:
		return consoleResult("succeeded", fields)
	case MessageInterrupted:
		return consoleResult("interrupted", fields)
	case MessageRebooting:
		return consoleResult("rebooting", fields)
	case MessageFailed:
		return append(consoleWrap("failed: "+failure), consoleResult("failed", fields)...)
	}
	return nil
}

func consoleResult(result string, fields entry) []string {
	bundle := fields.take("bundle")
	if bundle == "" {
		bundle = "-"
	}
	// Not wrapped: programs look for it.
	return []string{ascii(consoleName + "result=" + result + " exit_code=" + fields.take("exit_code") +
		" bundle=" + bundle + " duration=" + inSeconds(fields.take("duration")))}
}

// inSeconds rounds the seconds of a field.
func inSeconds(text string) string {
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return "-"
	}
	return strconv.FormatFloat(seconds, 'f', 1, 64) + "s"
}

// duration reads the seconds of a field.
func duration(text string) string {
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return Seconds(time.Duration(seconds * float64(time.Second)))
}

func consoleWrap(text string) []string {
	const indent = "  "
	lines := Wrap(ascii(consoleName+terminal.Safe(text)), consoleWidth-1-len(indent))
	if len(lines) > consoleLines {
		lines = lines[:consoleLines]
		lines[consoleLines-1] = lines[consoleLines-1][:min(len(lines[consoleLines-1]), consoleWidth-1-len(indent)-4)] + " ..."
	}
	for i := 1; i < len(lines); i++ {
		lines[i] = indent + lines[i]
	}
	return lines
}

// ascii replaces all that a serial line may garble.
func ascii(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
