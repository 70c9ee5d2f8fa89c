package runner

import (
	"errors"
	"os"
)

// Tail returns the last n lines of a whole file.
func Tail(path string, n int) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	end, err := size(file)
	return tail(file, 0, end, n, Clean), errors.Join(err, file.Close())
}
