package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/signature"
)

// LoadVerifyKeys returns the keys of the image's owner, and whether there is the
// file of them. Where there is, only what one of them signed may run; one that
// cannot be used is an error, and nothing may run.
func LoadVerifyKeys(p Paths) (keys signature.Keys, enforced bool, err error) {
	path := p.VerifyKeys()
	// Who can write the folder can take the file away.
	if err := p.trust().Check(path); err != nil {
		return nil, true, fmt.Errorf("the keys that this image trusts cannot be used, so no bundle runs: %w", err)
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	keys, err = signature.ReadKeys(path) // a link that leads nowhere is there, and no keys
	switch {
	case err != nil:
		return nil, true, fmt.Errorf("the keys that this image trusts cannot be used, so no bundle runs: %w; mend the file in the image, or remove it to run unsigned bundles too", err)
	}
	return keys, true, nil
}

// loadKeys settles which keys' bundles may run here.
func (a *Agent) loadKeys() (err error) {
	if a.keys, a.enforced, err = LoadVerifyKeys(a.Paths); err != nil {
		return &failure{CodeOpen, err}
	}
	return nil
}

// signed verifies, where this image trusts certain keys only, that one of them
// signed an unpacked bundle, and that nothing is in it that is not signed. by is
// the key's id. It compares the modules for which want returns true; a nil
// want means all.
func (a *Agent) signed(ctx context.Context, c *bundle.Contents, want func(bundle.Module) bool) (by string, err error) {
	if !a.enforced {
		return "", nil
	}
	manifest, text, err := c.Signed()
	if err == nil {
		by, err = a.keys.Verify(manifest, text)
	}
	if err != nil {
		return "", fail(CodeOpen, "this image runs only bundles signed by %s (%s): %w; pack it again with --sign-key and one of those keys, or add the public key of who signed it to that file in the image",
			strings.Join(a.keys.IDs(), " or "), a.Paths.VerifyKeys(), err)
	}
	if err := c.Covered(ctx, want); err != nil {
		return "", fail(CodeOpen, "%w: pack and sign it again with startup-packer", err)
	}
	if err := c.Verify(ctx, want); err != nil {
		return "", fail(CodeOpen, "signed by %s, and changed afterwards: %w: pack and sign it again with startup-packer", by, err)
	}
	return by, nil
}
