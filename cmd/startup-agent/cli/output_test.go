package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"startup-bundle/agent"
	"startup-bundle/internal/files"
)

// A signal or an error in the middle of a file leaves what was there before, and
// nothing beside it.
func TestProducedFileIsWholeOrNotThere(t *testing.T) {
	errBroken := errors.New("broken")
	tests := map[string]struct {
		write func(context.Context, io.Writer) error
		code  agent.Code
	}{
		"error": {func(context.Context, io.Writer) error { return errBroken }, agent.CodeOther},
		"SIGINT": {func(ctx context.Context, _ io.Writer) error {
			return errors.Join(syscall.Kill(os.Getpid(), syscall.SIGINT), after(ctx))
		}, agent.CodeInterrupted},
		"SIGTERM": {func(ctx context.Context, _ io.Writer) error {
			return errors.Join(syscall.Kill(os.Getpid(), syscall.SIGTERM), after(ctx))
		}, agent.CodeInterrupted},
		"SIGHUP": {func(ctx context.Context, _ io.Writer) error {
			return errors.Join(syscall.Kill(os.Getpid(), syscall.SIGHUP), after(ctx))
		}, agent.CodeInterrupted},
		"none": {func(context.Context, io.Writer) error { return nil }, agent.CodeDone},
	}
	for name, test := range tests {
		for _, before := range []string{"", "before"} {
			t.Run(fmt.Sprintf("%s, %q", name, before), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "out")
				if before != "" {
					if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				p := newProgram(io.Discard, io.Discard)
				err := p.produce(t.Context(), path, 0o640, (*files.File).Commit, func(ctx context.Context, w io.Writer) error {
					if _, err := io.WriteString(w, "half"); err != nil {
						return err
					}
					return test.write(ctx, w)
				})
				if p.code != test.code || (err == nil) != (test.code == agent.CodeDone) {
					t.Errorf("exit code %d, %v", p.code, err)
				}
				want := before
				if test.code == agent.CodeDone {
					want = "half"
				}
				if got, err := os.ReadFile(path); string(got) != want || want == "" && !os.IsNotExist(err) {
					t.Errorf("it holds %q, %v", got, err)
				}
				entries, err := os.ReadDir(filepath.Dir(path))
				if err != nil || len(entries) > 1 || want == "" && len(entries) > 0 {
					t.Errorf("left behind: %v, %v", entries, err)
				}
			})
		}
	}
}

func after(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}
