package fetch

import "errors"

// Restartable reports whether err ended a stream in a way that opening the same
// request again can mend.
func Restartable(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Kind == Changed || e.lost)
}
