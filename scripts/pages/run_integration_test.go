//go:build integration

package pages_test

import (
	"cmp"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"startup-bundle/internal/daemon"
	"startup-bundle/internal/imdstest"
)

const (
	// aRegistry is the name that the pages use for the reader's registry.
	aRegistry = "registry.example"
	// onFresh is the page that begins on a fresh machine.
	onFresh   = "docs/quick-start.md"
	separator = "\x1e" // before the output of each block, with its index
)

// Each page's commands are typed in their order, in one shell, in a fresh copy of the
// repository, on a machine whose /etc, /usr and /var can be changed without harm.
func TestPages(t *testing.T) {
	if err := exec.Command("unshare", "--mount", "true").Run(); err != nil {
		t.Skip("a machine that the pages may change needs root, and a mount namespace: ", err)
	}
	programs := t.TempDir()
	build := exec.Command("go", "build", "-o", programs+"/", "startup-bundle/cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, page := range pages(t) {
		if where := elsewhere[name]; where != "" {
			t.Logf("%s is tried by %s", name, where)
			continue
		}
		all, err := blocks(page)
		if err != nil {
			continue // TestEveryBlockHasATreatment says so
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if script := script(all); script != "" {
				env := []string{"PROGRAMS=" + programs}
				if name == onFresh {
					env = append(env, "FRESH="+fresh(t))
				}
				compare(t, name, all, typed(t, name, all, script, env))
			}
		})
	}
}

// script is what the reader of the blocks types, or nothing.
func script(all []block) string {
	var s strings.Builder
	commands := 0
	for i, b := range all {
		text := b.text
		switch b.treatment {
		case "":
			commands++
		case "given":
			text = b.argument + "\n"
		case "exits":
			commands++
			text = fmt.Sprintf("set +e\n(\nset -e\n%s)\ncode=$?\nset -e\n[ $code = %s ] || { echo \"exit code $code\"; exit 1; }\n", text, b.argument)
		case "file":
			text = fmt.Sprintf("mkdir -p \"$(dirname %[1]s)\"\ncat >%[1]s <<'END OF BLOCK'\n%[2]sEND OF BLOCK\n", b.argument, text)
		default:
			continue
		}
		fmt.Fprintf(&s, "printf '%s%d\\n'\n%s", separator, i, text)
	}
	if commands == 0 {
		return ""
	}
	return s.String()
}

// typed runs the script of a page, and returns what each of its blocks printed.
func typed(t *testing.T, name string, all []block, script string, env []string) map[int]string {
	t.Helper()
	dir := t.TempDir()
	userdata := filepath.Join(dir, "userdata")
	metadata := httptest.NewServer(instance(userdata))
	t.Cleanup(metadata.Close)
	shared := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(shared.Close)
	script = strings.ReplaceAll(script, aRegistry, strings.TrimPrefix(shared.URL, "http://"))
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "script")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}

	c := exec.CommandContext(t.Context(), "unshare", "--mount", "--uts", "bash", filepath.Join(here, "world.sh"), file)
	c.Dir = filepath.Join(here, top)
	c.Env = append(daemon.AWS(t), "WORLD="+dir, "METADATA="+metadata.URL, "USERDATA="+userdata,
		"PATH="+filepath.Join(here, "bin")+":"+os.Getenv("PATH"), "AWS="+daemon.Find(t, "aws", ""),
		"HOME="+dir, "TMPDIR="+dir, "LAUNCH_POLL=0", "GOFLAGS="+os.Getenv("GOFLAGS"), "DOCKER_CONFIG="+dir)
	c.Env = append(c.Env, env...)
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		c.Env = append(c.Env, name+"="+strings.TrimSpace(string(value)))
	}
	out, failed := c.CombinedOutput()
	printed, last := map[int]string{}, -1
	for _, part := range strings.Split(string(out), separator)[1:] {
		index, text, _ := strings.Cut(part, "\n")
		if last, err = strconv.Atoi(index); err != nil {
			t.Fatal(err)
		}
		printed[last] = text
	}
	switch {
	case failed != nil && last < 0:
		t.Fatalf("%v\n%s", failed, out)
	case failed != nil:
		t.Fatalf("%s:%d: %v\n%s%s", name, all[last].line, failed, all[last].text, printed[last])
	}
	return printed
}

// fresh returns the root folder of a Debian that has what the page asks for and nothing
// else. It is made once, and kept in PAGES_CACHE or .tools/cache.
func fresh(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join(cmp.Or(os.Getenv("PAGES_CACHE"), top+"/.tools/cache"), "pages-bookworm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(root); err == nil {
		return root
	}
	debootstrap := daemon.Find(t, "mmdebstrap", "apt-get install mmdebstrap")
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		t.Fatal(err)
	}
	make := exec.CommandContext(t.Context(), debootstrap, "--quiet", "--variant=minbase", "--include=make,ca-certificates", "bookworm", root+".part")
	if out, err := make.CombinedOutput(); err != nil {
		os.RemoveAll(root + ".part")
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Rename(root+".part", root); err != nil {
		t.Fatal(err)
	}
	return root
}

// compare looks for the lines of each output in what the commands before it printed.
func compare(t *testing.T, name string, all []block, printed map[int]string) {
	t.Helper()
	said := ""
	for i, b := range all {
		if text, ran := printed[i]; ran {
			said = text
		}
		if b.treatment != "output" {
			continue
		}
		rest := said
		for line := range strings.Lines(b.text) {
			at := like(line).FindStringIndex(rest)
			if at == nil {
				t.Errorf("%s:%d: nobody prints %sbut\n%s", name, b.line, line, said)
				break
			}
			rest = rest[at[1]:]
		}
	}
}

// like matches a line of a page: numbers and durations are any, white space is any,
// and … is anything.
func like(line string) *regexp.Regexp {
	form := regexp.QuoteMeta(strings.Join(strings.Fields(line), " "))
	form = regexp.MustCompile(`\d+(\\\.\d+)*(m?s\b)?`).ReplaceAllStringFunc(form, func(number string) string {
		if strings.HasSuffix(number, "s") {
			return `[\dms.]+`
		}
		return `[\d.]+`
	})
	return regexp.MustCompile(strings.NewReplacer(" ", `\s+`, "…", ".*").Replace(form))
}

// instance is the metadata of the instance that is launched, with a role. Its userdata
// is read from the file whenever a program asks for a token.
func instance(userdata string) http.Handler {
	in := imdstest.Sample()
	in.Role = "web"
	in.Credentials = imdstest.Credentials{AccessKeyID: daemon.AccessKey, SecretAccessKey: daemon.SecretKey}
	in.Tags = map[string]string{}
	var mu sync.Mutex
	var metadata http.Handler
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if r.Method == http.MethodPut || metadata == nil {
			in.Userdata, _ = os.ReadFile(userdata)
			metadata = imdstest.Handler(in)
		}
		h := metadata
		mu.Unlock()
		h.ServeHTTP(w, r)
	})
}
