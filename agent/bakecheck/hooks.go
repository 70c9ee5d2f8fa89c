package bakecheck

import (
	"io/fs"
	"path/filepath"
	"strings"
)

// hooks finds what stands among the hooks and could not run.
func (c *check) hooks() {
	for _, dir := range []string{c.paths.Hooks(), c.paths.Heartbeats()} {
		for _, entry := range c.list(c.rel(dir)) {
			path := filepath.Join(c.rel(dir), entry.Name())
			info, to := c.follow(path)
			switch {
			case info == nil && to != "":
				c.found("the hook /"+path+" is a link to "+to+", which does not exist", "link one of /usr/share/startup-agent/hooks, or remove it")
			case info == nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
				c.found("the hook /"+path+" is not an executable file", "chmod 755 /"+path+", or remove it")
			}
		}
	}
}

// follow returns what is at the end of a path's links, nil where nothing is, and where
// the last of them leads. An absolute link is one of the image's own root.
func (c *check) follow(path string) (info fs.FileInfo, to string) {
	const most = 40 // as the kernel allows
	for range most {
		link, err := c.root.Readlink(path)
		if err != nil {
			break
		}
		if to = link; filepath.IsAbs(link) {
			path = strings.TrimPrefix(filepath.Clean(link), "/")
		} else {
			path = filepath.Join(filepath.Dir(path), link)
		}
	}
	info, err := c.root.Stat(path)
	if err != nil {
		return nil, to
	}
	return info, to
}
