package agent

import (
	"context"
	"startup-bundle/internal/secret"
)

func (a *Agent) resolveKey(context.Context) (secret.String, error) {
	return a.doc.Key, nil
}
