package agent

import (
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/document"
)

// vouch says what vouches for a bundle: it runs as root, so something must. By
// name, for the log: its digest in userdata, a passphrase that only its maker
// and this instance have, or the transport. Encryption to a recipient does not
// vouch (whoever knows the public key can make one), and openssl's has no
// integrity at all.
//
// Where the image trusts certain keys only (enforced), a signature vouches, and
// nothing else does: Agent.signed demands it before the bundle gets its name.
//
// The error says which line of the userdata to add.
func vouch(d *document.Document, scheme string, kind bundle.Kind, enforced bool) (by string, err error) {
	switch {
	case enforced:
		return "signature", nil
	case d.SHA256 != "":
		return "sha256", nil
	case kind.Authenticated():
		return "passphrase", nil
	case scheme == "https", scheme == "s3", scheme == "file":
		return scheme, nil
	}
	return "", fail(CodeOpen, "nothing vouches for a bundle with encryption %q from plain %s: anybody on the way could have replaced it; add the line sha256: with the digest that startup-packer pack or sha256sum printed, or serve it by https", string(kind.Encryption), scheme)
}
