package runner

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// diagnose says why a script could not be started, and what to do.
func diagnose(s Script, err error) (Outcome, string) {
	if info, dirErr := os.Stat(s.Dir); dirErr != nil || !info.IsDir() {
		return NotStarted, fmt.Sprintf("its folder %s cannot be entered: look whether it was removed", s.Dir)
	}
	path := inDir(s.Dir, s.Path)
	if out, reason := badFile(path); out != "" {
		return out, reason
	}
	switch {
	case errors.Is(err, unix.EACCES) && noexec(path):
		return NotExecutable, fmt.Sprintf("%s lies on a filesystem that is mounted noexec: mount it without", path)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return badInterpreter(path, head(path))
	case errors.Is(err, unix.ENOEXEC):
		return NotExecutable, noProgram(path, head(path))
	case errors.Is(err, unix.E2BIG):
		return NotStarted, "its environment and arguments are longer than the kernel takes: shorten the module's options"
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return NotStarted, fmt.Sprintf("the kernel refused to start %s: %v", path, number)
	}
	// The only other errors are about the arguments, such as a NUL in one:
	// they may quote the environment.
	return NotStarted, fmt.Sprintf("%s cannot be started with this environment and these arguments: look for a NUL byte in the module's options", path)
}

// badFile says what is wrong with the file as such, if anything.
func badFile(path string) (Outcome, string) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(path); err == nil {
			return Missing, fmt.Sprintf("%s is a link to nothing: put the script in its place", path)
		}
		return Missing, fmt.Sprintf("there is no %s: add it to the module", path)
	case err != nil: // what the kernel said is as good
		return "", ""
	case !info.Mode().IsRegular():
		return NotExecutable, fmt.Sprintf("%s is no regular file: put the script in its place", path)
	case info.Mode().Perm()&0o111 == 0:
		return NotExecutable, fmt.Sprintf("%s has no execute permission: chmod 0755 it", path)
	}
	return "", ""
}

func badInterpreter(path string, start []byte) (Outcome, string) {
	interpreter, _, ok := shebang(start)
	name, crlf := strings.CutSuffix(interpreter, "\r")
	switch {
	case crlf:
		return NoInterpreter, fmt.Sprintf("%s has Windows line ends (CRLF), so that its first line asks for %q with a carriage return: convert it with sed -i 's/\\r$//'", path, name)
	case ok:
		return NoInterpreter, fmt.Sprintf("the first line of %s asks for %q, which is not there or may not run: install it or correct the line", path, name)
	case bytes.HasPrefix(start, []byte("\x7fELF")):
		return NoInterpreter, fmt.Sprintf("%s is a program whose loader is not there: it was built for another C library; link it statically", path)
	}
	return NotExecutable, fmt.Sprintf("%s may not be executed: look at its permissions and those of its folders", path)
}

func noProgram(path string, start []byte) string {
	switch {
	case len(start) == 0:
		return fmt.Sprintf("%s is empty: put the script in its place", path)
	case bytes.HasPrefix(start, []byte("\x7fELF")):
		return fmt.Sprintf("%s is a program for another processor: build it for this one", path)
	case bytes.HasPrefix(start, []byte("\xef\xbb\xbf")):
		return fmt.Sprintf("%s begins with a byte order mark, which hides its #! line: save it as UTF-8 without BOM", path)
	case bytes.HasPrefix(start, []byte("#!")):
		return fmt.Sprintf("the first line of %s names no interpreter, or too long a path: begin it with #!/bin/sh", path)
	}
	return fmt.Sprintf("%s has no #! line: begin it with #!/bin/sh or the interpreter that it needs", path)
}

// envInterpreter says what is wrong if the script asks env(1) for an
// interpreter that is not on its PATH, and "" if it does not.
func envInterpreter(s Script) string {
	path := inDir(s.Dir, s.Path)
	interpreter, arg, _ := shebang(head(path))
	if filepath.Base(interpreter) != "env" {
		return ""
	}
	name := envCommand(arg)
	if name == "" || onPath(name, s.Dir, s.Env) {
		return ""
	}
	if name, crlf := strings.CutSuffix(name, "\r"); crlf {
		_, reason := badInterpreter(path, []byte("#!"+name+"\r"))
		return reason
	}
	return fmt.Sprintf("the first line of %s asks for %q, which is not on its PATH: install it or correct the line", path, name)
}

// envCommand returns the command in the argument of an env shebang: the first
// word that is neither an option nor an assignment.
func envCommand(arg string) string {
	for word := range strings.FieldsFuncSeq(arg, func(r rune) bool { return r == ' ' || r == '\t' }) {
		word = strings.TrimPrefix(word, "-S")
		if word != "" && word[0] != '-' && !strings.Contains(word, "=") {
			return word
		}
	}
	return ""
}

func onPath(name, dir string, env []string) bool {
	list := "/usr/local/bin:/usr/bin:/bin" // without PATH, libc's own is searched
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			list = value
		}
	}
	if strings.Contains(name, "/") {
		list = dir
	}
	for _, folder := range filepath.SplitList(list) {
		if unix.Access(inDir(inDir(dir, folder), name), unix.X_OK) == nil {
			return true
		}
	}
	return false
}

func inDir(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// shebangMax is how much of a file the kernel looks at (BINPRM_BUF_SIZE).
const shebangMax = 256

// head returns what the kernel would look at, nothing if it cannot be read. By
// now the script may have replaced itself by a FIFO that nobody writes to.
func head(path string) []byte {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	buf := make([]byte, shebangMax)
	n, _ := io.ReadFull(file, buf)
	return buf[:n]
}

// shebang splits a #! line as the kernel does: the interpreter, and all the
// rest as one argument. A carriage return is part of them.
func shebang(start []byte) (interpreter, arg string, ok bool) {
	line, ok := bytes.CutPrefix(start, []byte("#!"))
	if !ok {
		return "", "", false
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	text := strings.Trim(string(line), " \t")
	i := strings.IndexAny(text, " \t")
	if i < 0 {
		return text, "", text != ""
	}
	return text[:i], strings.TrimLeft(text[i:], " \t"), true
}

func noexec(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Flags&unix.ST_NOEXEC != 0
}
