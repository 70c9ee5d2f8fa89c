//go:build !linux

package sandbox

import (
	"context"
	"errors"
)

// Run works on Linux only.
func Run(context.Context, Options) (Outcome, error) {
	return Outcome{}, &UnprotectedError{errors.New("it needs Linux")}
}

// Inside works on Linux only.
func Inside() int { return 1 }
