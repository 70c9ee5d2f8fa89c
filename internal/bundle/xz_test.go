package bundle_test

import (
	"bytes"
	"io"
	"testing"

	"startup-bundle/internal/bundle"

	"github.com/ulikunitz/xz"
)

func compareXz(t *testing.T, raw []byte) {
	t.Helper()
	in, err := bundle.Open(t.Context(), bytes.NewReader(raw), bundle.Key{})
	if err != nil {
		return
	}
	defer in.Close()
	if in.Kind().Compression != bundle.Xz {
		return
	}
	got, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err != nil || len(got) == 1<<20 {
		return
	}
	theirs, err := xz.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%d bytes open here, and the library says %v", len(got), err)
	}
	if want, err := io.ReadAll(theirs); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes open here, and the library gives %d, %v", len(got), len(want), err)
	}
}
