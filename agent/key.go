package agent

import (
	"context"

	"go.uber.org/zap"

	"startup-bundle/agent/key"
	"startup-bundle/internal/secret"
)

// key resolves the document's key. No key is no error: there may be nothing to
// decrypt, and opening the bundle tells.
func (a *Agent) key(ctx context.Context) (found secret.String, err error) {
	err = a.phase(PhaseKey, func(log *zap.Logger) error {
		found, err = key.Resolve(ctx, key.Source{Literal: a.doc.Key, From: a.doc.KeyFrom}, key.Deps{Logger: log, AWS: a.AWS})
		if err != nil {
			return &failure{CodeKey, err}
		}
		a.Journal.Add(found)
		return nil
	})
	return found, err
}
