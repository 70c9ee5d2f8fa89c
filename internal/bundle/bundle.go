// Package bundle is the start-up bundle format: how one is sealed, opened,
// archived and unpacked.
//
// A bundle of format version 1 is age(zstd(tar)). [Seal] writes one, [Open]
// reads it back as a stream of tar bytes, [Unpack] turns that stream into a
// folder that exists only once its last byte was verified. Open also reads
// what people made by hand before there was a packer: see [Kind].
//
// The exact format is in docs/bundle-format.md.
package bundle

import (
	"errors"
	"fmt"
)

const (
	// Top is the one folder at the top of a bundle's archive.
	Top = "start-up-bundle"
	// ManifestName is the manifest's file name inside Top, the archive's first entry.
	ManifestName = "bundle.json"
	// SignatureName is the file name inside Top of the signature over the
	// manifest's bytes, the archive's second entry; there is none in an unsigned bundle.
	SignatureName = "bundle.json.minisig"
	// LibName is the shell library's file name inside Top.
	LibName = "lib.sh"
	// EnvFolder holds, inside Top, one file of shell assignments for each module
	// folder. Only bundles for the shell recipe have it.
	EnvFolder = ".env"
	// EnvBundleFile is the file of EnvFolder about the bundle itself.
	EnvBundleFile = ".bundle"
	// EnvOnFailure is the manifest's on_failure in that file.
	EnvOnFailure = "STARTUP_ON_FAILURE"
	// FormatVersion is the major version of the format this package writes, and
	// the newest it reads.
	FormatVersion = 1
)

// Errors that say why a bundle did not open. All are final: the same bytes and
// the same key give the same error again.
var (
	// ErrKey means that the key is not the one the bundle was sealed with, or
	// not of its kind, or missing, or given where there is nothing to decrypt.
	ErrKey = errors.New("the key does not open this bundle")
	// ErrDamaged means that the bytes are not what the packer wrote: tampered
	// with, or truncated on the way.
	ErrDamaged = errors.New("the bundle is damaged")
	// ErrFormat means that the bytes are no bundle, or one from the future.
	ErrFormat = errors.New("not a bundle this version can read")
	// ErrUnsafe means that the archive holds something no bundle may hold.
	ErrUnsafe = errors.New("the archive is refused")
	// ErrSpace means that the disk is too small for the bundle.
	ErrSpace = errors.New("no space for the bundle")
)

// Limits bound what one bundle may ask of a machine. A zero field means the
// default, never "no limit".
type Limits struct {
	Bytes int64 // unpacked file contents, in bytes
	Files int64 // entries of any kind
	Ratio int64 // unpacked bytes per byte of the bundle, once RatioFloor is passed
}

// The default limits. They are far above any bundle a person would wait for at
// boot, and far below what makes a small instance unreachable.
const (
	DefaultMaxBytes = 16 << 30
	DefaultMaxFiles = 500_000
	DefaultMaxRatio = 250

	// RatioFloor is how much may be unpacked before the ratio is looked at:
	// small bundles of text compress well by nature.
	RatioFloor = 64 << 20
	// MaxName is the longest path inside the archive, in bytes; MaxDepth the
	// most folders in one. Components are held to 255 bytes, as by Linux.
	MaxName  = 1024
	MaxDepth = 64
	// MaxModules is the most modules of one bundle.
	MaxModules = 10_000
	// MaxLib is the largest shell library, in bytes.
	MaxLib = 1 << 20
	// MaxManifest is the largest bundle.json, in bytes.
	MaxManifest = 1 << 20
	// MaxSignature is the largest signature file, in bytes.
	MaxSignature = 4 << 10

	// linkShare is how many of Limits.Files there must be for one link of either kind:
	// links are kept in memory until all files are there. By default 50,000.
	linkShare = 10
	// nameBytes is how many bytes of names are kept in memory, of folders and links with
	// their targets, for each of Limits.Files. By default 32 MB.
	nameBytes = 64
	// entryBytes is how many bytes of tar there may be around the contents of files for
	// each of Limits.Files: a header, padding, and extended headers.
	entryBytes = 4 << 10
)

func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = DefaultMaxBytes
	}
	if l.Files <= 0 {
		l.Files = DefaultMaxFiles
	}
	if l.Ratio <= 0 {
		l.Ratio = DefaultMaxRatio
	}
	return l
}

func unsafe(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsafe, fmt.Sprintf(format, args...))
}
