package bakecheck

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"startup-bundle/agent/userdata"
)

// Where cloud-init keeps the userdata of the instances it ran on.
const cloudInstances = "var/lib/cloud/instances"

// copies finds userdata that cloud-init kept of the machine the image is made
// of, if it is for us: a document holds a key.
func (c *check) copies() {
	for _, instance := range c.list(cloudInstances) {
		for _, name := range []string{"user-data.txt", "user-data.txt.i"} {
			path := filepath.Join(cloudInstances, instance.Name(), name)
			text, err := c.read(path, userdata.MaxUnpacked)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				continue
			case err != nil:
				c.errs = append(c.errs, fmt.Errorf("read /%s: %w: run bake-check as root", path, err))
				continue
			}
			u, err := userdata.Parse(text)
			if err != nil || u.Kind == userdata.Document { // what fails to parse was meant for us
				c.found("cloud-init kept a start-up document, which may hold a key: /"+path, "cloud-init clean --logs")
			}
		}
	}
}

const unit = "startup-agent.service"

// unit finds a unit that would not start at boot.
func (c *check) unit() {
	installed := false
	for _, dir := range []string{"etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"} {
		link, err := c.root.Readlink(filepath.Join(dir, unit))
		if err == nil && link == os.DevNull {
			c.found("the unit is masked: /"+filepath.Join(dir, unit), "systemctl unmask "+unit)
			return
		}
		installed = installed || c.exists(filepath.Join(dir, unit))
	}
	switch {
	case !installed:
		c.found("the unit "+unit+" is not installed", "install the package, or run scripts/install.sh")
	case !c.exists("etc/systemd/system/multi-user.target.wants/" + unit):
		c.found("the unit is not enabled: no instance would take on a role", "systemctl enable "+unit)
	}
}

// certificateFiles is where distributions keep their roots, in one file each: a
// part of what crypto/x509 looks through.
func certificateFiles() []string {
	return []string{
		"etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Alpine
		"etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Amazon Linux, Fedora, RHEL
		"etc/pki/tls/certs/ca-bundle.crt",                  // the same, older
		"var/lib/ca-certificates/ca-bundle.pem",            // SUSE
		"etc/ssl/ca-bundle.pem", "etc/ssl/cert.pem",
	}
}

// maxCertificates bounds what is read of a file of roots, in bytes.
const maxCertificates = 16 << 20

// certificates finds an image that trusts nobody: no https URL would be fetched.
func (c *check) certificates() {
	for _, path := range certificateFiles() {
		text, err := c.read(path, maxCertificates)
		if err != nil { // not here, or a link that only the running system can follow
			continue
		}
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if _, err := x509.ParseCertificate(block.Bytes); err == nil {
				return
			}
		}
	}
	c.found("there are no CA certificates: no https URL could be fetched", "install the package ca-certificates")
}

// read returns a file of at most limit bytes; what is longer is cut off.
func (c *check) read(path string, limit int64) ([]byte, error) {
	f, err := c.root.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}
