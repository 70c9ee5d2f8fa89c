//go:build integration

package registry_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"startup-bundle/internal/daemon"
	"startup-bundle/packer"
	"startup-bundle/packer/registry"
)

// distribution starts the registry that most others are made of, with a user "test"
// whose password is "test", and returns its HOST:PORT.
func distribution(t *testing.T) string {
	t.Helper()
	program := daemon.Find(t, "registry", "go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2")
	address, dir := daemon.Address(t), t.TempDir()
	hash, err := bcrypt.GenerateFromPassword([]byte("test"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "htpasswd"), "test:"+string(hash)+"\n", 0o600)
	write(t, filepath.Join(dir, "config.yml"), fmt.Sprintf(`version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: %s/storage}}
http: {addr: %s}
auth: {htpasswd: {realm: test, path: %s/htpasswd}}
`, dir, address, dir), 0o600)
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	daemon.Start(t, address, program, "serve", filepath.Join(dir, "config.yml"))
	return address
}

// standardModules are ten of the standard collection.
func standardModules() []string {
	return []string{"caddy", "chrony", "docker", "go", "hostname", "java", "nginx", "redis", "swap", "users"}
}

func TestTenStandardModulesThroughARealRegistry(t *testing.T) {
	host := distribution(t)
	login(t, auths(host, "test", "test"))
	c := registry.New(registry.Options{})
	for _, name := range standardModules() {
		dir := filepath.Join("../../modules", name)
		p, err := c.Publish(t.Context(), dir, "oci://"+host+"/team/modules/"+name, registry.PublishOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !p.Uploaded || !slices.Contains(p.Tags, "latest") {
			t.Errorf("%s: %+v", name, p)
		}
	}
	parent := t.TempDir()
	for _, name := range standardModules() {
		d, spec, err := c.Describe(t.Context(), "oci://"+host+"/team/modules/"+name)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Pull(t.Context(), d.Ref, filepath.Join(parent, name)); err != nil {
			t.Fatal(err)
		}
		want := treeDigest(t, filepath.Join("../../modules", name))
		if got := treeDigest(t, filepath.Join(parent, name)); got != want || d.TreeDigest != want || spec.Version != d.Version {
			t.Errorf("%s: pulled %s, described %s, published %s", name, got, d.TreeDigest, want)
		}
	}
	lib, err := os.ReadFile("../../modules/lib.sh")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(parent, "lib.sh"), string(lib), 0o644)
	if pulled, own := contentDigest(t, parent), contentDigest(t, "../../modules"); pulled != own {
		t.Errorf("packed from what was pulled: %s, from the modules themselves: %s", pulled, own)
	}
}

// contentDigest packs the ten modules as they are in the folder modules.
func contentDigest(t *testing.T, modules string) string {
	t.Helper()
	dir := t.TempDir()
	personality := filepath.Join(dir, "ten.yaml")
	write(t, personality, "name: ten\nmodules: ["+strings.Join(standardModules(), ", ")+"]\n", 0o644)
	out := filepath.Join(dir, "ten.bundle")
	result, err := packer.Pack(t.Context(), packer.Options{Source: personality, Modules: modules, Output: out, Seal: packer.Seal{KeyOut: out + ".key", Format: packer.FormatAge}})
	if err != nil {
		t.Fatal(err)
	}
	return result.ContentDigest
}

func TestARealRegistryKeepsVersions(t *testing.T) {
	host := distribution(t)
	log := helper(t, "test", "echo '{\"Username\": \"test\", \"Secret\": \"test\"}'\n")
	login(t, fmt.Sprintf(`{"credHelpers": {%q: "test"}}`, host))
	ref := "oci://" + host + "/team/hello"
	first := publish(t, newModule(t, "1.1.0"), ref)
	publish(t, newModule(t, "1.2.0"), ref)
	if p := publish(t, newModule(t, "1.1.1"), ref); !slices.Equal(p.Tags, []string{"1.1.1", "1.1"}) {
		t.Errorf("tags %q", p.Tags)
	}
	if p := publish(t, newModule(t, "1.1.0"), ref); p.Uploaded || p.Digest != first.Digest {
		t.Errorf("again: %+v", p)
	}
	other := newModule(t, "1.1.0")
	write(t, filepath.Join(other, "start"), "#!/bin/sh\n", 0o755)
	c := registry.New(registry.Options{})
	_, err := c.Publish(t.Context(), other, ref, registry.PublishOptions{})
	wantError(t, err, "published already", first.Digest)
	_, err = c.Resolve(t.Context(), ref+":7")
	wantError(t, err, "not in the registry")
	if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "stdin: "+host+"\n") {
		t.Errorf("the helper got %q, %v", text, err)
	}
}

func TestARealRegistryRefusesStrangers(t *testing.T) {
	host := distribution(t)
	ref := "oci://" + host + "/team/hello"
	login(t, auths(host, "test", "wrong-and-secret"))
	_, err := registry.New(registry.Options{}).Publish(t.Context(), newModule(t, "1.0.0"), ref, registry.PublishOptions{})
	wantError(t, err, "401", "docker login "+host)
	wantNoSecret(t, err)
	login(t, "{}")
	_, err = registry.New(registry.Options{}).Resolve(t.Context(), ref)
	wantError(t, err, "wants a login", "docker login "+host)
	login(t, auths(host, "test", "test"))
	_, err = registry.New(registry.Options{}).Resolve(t.Context(), ref)
	wantError(t, err, "not in the registry")
}

func TestAPersonalityOfTenModulesIsLocked(t *testing.T) {
	host := distribution(t)
	login(t, auths(host, "test", "test"))
	dir, elsewhere := t.TempDir(), t.TempDir()
	text := "name: ten\nmodules:\n"
	for _, name := range standardModules() {
		ref := "oci://" + host + "/team/modules/" + name
		if _, err := registry.New(registry.Options{}).Publish(t.Context(), filepath.Join("../../modules", name), ref, registry.PublishOptions{}); err != nil {
			t.Fatal(err)
		}
		text += "  - " + ref + ":1\n"
	}
	write(t, filepath.Join(dir, "ten.yaml"), text, 0o644)
	pack := func(in string, locked bool) (*packer.Result, error) {
		t.Setenv("XDG_CACHE_HOME", t.TempDir()) // an empty one each time
		return packer.Pack(t.Context(), packer.Options{
			Source: filepath.Join(in, "ten.yaml"), Output: filepath.Join(in, "ten.bundle"), Version: "test", Locked: locked,
			Seal: packer.Seal{KeyOut: filepath.Join(t.TempDir(), "key")},
		})
	}
	if _, err := pack(dir, true); err == nil || !strings.Contains(err.Error(), "ten.lock does not have module caddy") {
		t.Errorf("locked before there is a lock: %v", err)
	}
	here, err := pack(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ten.yaml", "ten.lock"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(elsewhere, name), string(content), 0o644)
	}
	there, err := pack(elsewhere, true)
	if err != nil {
		t.Fatal(err)
	}
	if here.ContentDigest != there.ContentDigest || len(there.Modules) != 10 {
		t.Errorf("%s here, %s there, %d modules", here.ContentDigest, there.ContentDigest, len(there.Modules))
	}
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	if err := os.Remove(filepath.Join(elsewhere, "ten.bundle")); err != nil {
		t.Fatal(err)
	}
	if _, err := pack(elsewhere, true); err == nil || !strings.Contains(err.Error(), "docker login") {
		t.Errorf("without a login: %v", err)
	}
	if _, err := os.Stat(filepath.Join(elsewhere, "ten.bundle")); err == nil {
		t.Error("a bundle is there all the same")
	}
}
