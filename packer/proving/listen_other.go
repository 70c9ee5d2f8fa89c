//go:build !linux

package proving

import (
	"errors"
	"net"
)

func listenIn(int, string) (net.Listener, error) { return nil, errors.ErrUnsupported }
