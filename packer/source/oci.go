package source

import (
	"context"

	"startup-bundle/internal/module"
	"startup-bundle/packer/registry"
)

// oci is an OCI registry.
type oci struct{ client *registry.Client }

func (o oci) resolve(ctx context.Context, r Reference) (resolution, error) {
	d, err := o.client.Resolve(ctx, r.Text)
	if err != nil {
		return resolution{}, err
	}
	_, err = module.ParseVersion(r.ref)
	return resolution{resolved: d.Digest, name: d.Name, fixed: err == nil}, nil
}

func (o oci) fetch(ctx context.Context, r Reference, resolved, dest string) error {
	ref, err := registry.ByDigest(r.Text, resolved)
	if err != nil {
		return err
	}
	return o.client.Pull(ctx, ref, dest)
}
